"""The project's own template.

`job-runners eject` copies the template to template.yaml, which the project may change. Its first
line says from which template it was copied. After an upgrade, builds show how to compare it with
the new template.
"""

import hashlib
import shlex
from pathlib import Path

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.places import DATA, ROOT

OWN = ROOT / "template.yaml"
# The new template, which a person compares with template.yaml.
NEW = ROOT / ".jobs" / "new.template.yaml"
_INSTALLED = DATA / "template.yaml"
_MARK = "# Copied from the template of Job Runners "


def eject() -> list[Path]:
    """Write template.yaml, and return the files. Raises UnusableAppFolder if it exists."""
    if OWN.exists():
        raise UnusableAppFolder(f"{OWN} exists already. This project has its own template")
    OWN.write_text(_copy(), encoding="utf-8")
    return [OWN]


def check() -> str | None:
    """Return a warning if template.yaml was copied from another template, else None.

    Write the new template for the comparison.
    """
    if not OWN.exists():
        return None
    first, _, _ = OWN.read_text(encoding="utf-8").partition("\n")
    new, _, _ = _copy().partition("\n")
    if not first.startswith(_MARK) or first == new:
        return None
    NEW.parent.mkdir(exist_ok=True)
    NEW.write_text(_copy(), encoding="utf-8")
    old, other = (each.removeprefix(_MARK) for each in (first, new))
    command = f"diff -u {shlex.quote(str(OWN))} {shlex.quote(str(NEW))}"
    return (
        f"template.yaml was copied from the template of Job Runners {old}. The installed version "
        f"has another template: {other}. To see the differences, run: {command}. Copy the changes "
        "that you need, and the first line."
    )


def _copy() -> str:
    text = _INSTALLED.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{_MARK}{__version__} ({digest})\n{text}"
