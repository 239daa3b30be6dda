"""The project's own template.

`job-runners eject` copies the template to template.yaml, which the project may change. Its first
line says from which template it was copied. After an upgrade, builds say that the new version has
another template, and `job-runners eject` shows the difference.
"""

import hashlib
from difflib import unified_diff

from job_runners import __version__
from job_runners.places import COMMAND, DATA, ROOT

OWN = ROOT / "template.yaml"
_INSTALLED = DATA / "template.yaml"
_MARK = "# Copied from the template of Job Runners "


def eject() -> str | None:
    """Write template.yaml, and return None. If it exists, leave it as it is, and return how the
    installed template differs from it, as a unified diff."""
    if not OWN.exists():
        OWN.write_text(_copy(), encoding="utf-8")
        return None
    old, new = (text.splitlines(keepends=True) for text in (OWN.read_text("utf-8"), _copy()))
    name = f"the template of Job Runners {__version__}"
    return "".join(unified_diff(old, new, OWN.name, name))


def warning() -> str | None:
    """Return a warning if template.yaml was copied from another template, else None."""
    if not OWN.exists():
        return None
    first, _, _ = OWN.read_text(encoding="utf-8").partition("\n")
    new, _, _ = _copy().partition("\n")
    if not first.startswith(_MARK) or first == new:
        return None
    old, other = (each.removeprefix(_MARK) for each in (first, new))
    return (
        f"template.yaml was copied from the template of Job Runners {old}. The installed version "
        f"has another template: {other}. To see the difference, run {COMMAND} eject again. Copy "
        "the changes that you need, and the first line."
    )


def _copy() -> str:
    text = _INSTALLED.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{_MARK}{__version__} ({digest})\n{text}"
