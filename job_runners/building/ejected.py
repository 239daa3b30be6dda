"""Copy the template to the project's template.yaml, for `job-runners eject`.

The project may change its copy, whose first line names the version that it was copied from. After
an upgrade, builds warn if the new version's template differs, and `job-runners eject` shows how.
"""

import hashlib
from difflib import unified_diff

from job_runners import __version__
from job_runners.places import COMMAND, DATA, ROOT

PROJECT_TEMPLATE = ROOT / "template.yaml"
_OUR_TEMPLATE = DATA / "template.yaml"
_FIRST_LINE = "# Copied from the template of Job Runners "  # then the version and a hash


def eject() -> str | None:
    """Write template.yaml, and return None.

    If the file exists, leave it unchanged, and return a unified diff from it to our template.
    """
    if not PROJECT_TEMPLATE.exists():
        PROJECT_TEMPLATE.write_text(_copy(), encoding="utf-8")
        return None
    project_lines = PROJECT_TEMPLATE.read_text("utf-8").splitlines(keepends=True)
    our_lines = _copy().splitlines(keepends=True)
    our_name = f"the template of Job Runners {__version__}"
    return "".join(unified_diff(project_lines, our_lines, PROJECT_TEMPLATE.name, our_name))


def warning() -> str | None:
    """Return a warning if template.yaml was copied from another template, else None."""
    if not PROJECT_TEMPLATE.exists():
        return None
    first_line, _, _ = PROJECT_TEMPLATE.read_text(encoding="utf-8").partition("\n")
    new_first_line, _, _ = _copy().partition("\n")
    if not first_line.startswith(_FIRST_LINE) or first_line == new_first_line:
        return None
    old = first_line.removeprefix(_FIRST_LINE)
    new = new_first_line.removeprefix(_FIRST_LINE)
    return (
        f"template.yaml was copied from the template of Job Runners {old}. The installed version "
        f"has another template: {new}. To see the difference, run {COMMAND} eject again. Copy "
        "the changes that you need, and the first line."
    )


def _copy() -> str:
    """Return the text of template.yaml as `eject` writes it."""
    text = _OUR_TEMPLATE.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{_FIRST_LINE}{__version__} ({digest})\n{text}"
