"""The project's own template.

`job-runners eject` writes two files: template.yaml, which the project may change, and
.template.base.yaml, which says what template.yaml was made from. With both, an upgrade
merges the changes of the new version into template.yaml.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.places import COMMAND, DATA, ROOT

OWN = ROOT / "template.yaml"
BASE = ROOT / ".template.base.yaml"
_INSTALLED = DATA / "template.yaml"
_FIRST_LINE = "# Upgrades need this file: the unchanged template of Job Runners {version}\n"
_VERSION = re.compile(r"# Upgrades need this file: the unchanged template of Job Runners (\S+)$")
_MARKER = re.compile(r"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)


def eject() -> list[Path]:
    """Write the two files, and return them. Raises UnusableAppFolder if template.yaml exists."""
    if OWN.exists():
        raise UnusableAppFolder(f"{OWN} exists already. This project has its own template")
    text = _INSTALLED.read_text(encoding="utf-8")
    _replace(BASE, _as_base(text))
    _replace(OWN, text)
    return [OWN, BASE]


def check() -> str | None:
    """Return a warning if template.yaml was made from another version's template, else None.

    Raises UnusableAppFolder if template.yaml has a conflict of a merge.
    """
    if not OWN.exists():
        return None
    _refuse_conflicts(OWN.read_text(encoding="utf-8"))
    base = _read_base()
    if base is None or base.text == _INSTALLED.read_text(encoding="utf-8"):
        return None
    return (
        f"template.yaml was made from the template of Job Runners {base.version}, and "
        f"{__version__} is installed. To merge the changes, run {COMMAND} upgrade."
    )


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge. `lines` has the number of the first line of each conflict."""

    changed: bool
    lines: tuple[int, ...] = ()


def merge() -> Merged | None:
    """Merge the installed version's template into template.yaml. Return None if there is none.

    Both sides of a conflict are kept, between markers as git writes them. Raises UnusableAppFolder,
    and then changes nothing.
    """
    if not OWN.exists():
        return None
    own, theirs = OWN.read_text(encoding="utf-8"), _INSTALLED.read_text(encoding="utf-8")
    _refuse_conflicts(own)
    base = _read_base()
    if base is None:
        raise UnusableAppFolder(
            f"{OWN} can't be merged, because {BASE.name} is missing or was changed. Restore it "
            f"from git. Or compare your file with {_INSTALLED} by hand"
        )
    if base.text == theirs:
        return Merged(changed=False)
    labels = ("yours", f"Job Runners {base.version}", f"Job Runners {__version__}")
    merged = _merge_file((own, base.text, theirs), labels)
    # If this process ends between the two writes, the next merge finds the same changes on both
    # sides, which is no conflict.
    _replace(OWN, merged)
    _replace(BASE, _as_base(theirs))
    return Merged(changed=True, lines=_conflicts(merged))


@dataclass(frozen=True)
class _Base:
    """The template from which template.yaml was made."""

    version: str
    text: str


def _read_base() -> _Base | None:
    if not BASE.exists():
        return None
    first, _, text = BASE.read_text(encoding="utf-8").partition("\n")
    found = _VERSION.match(first)
    return _Base(found[1], text) if found else None


def _as_base(text: str) -> str:
    return _FIRST_LINE.format(version=__version__) + text


def _merge_file(texts: tuple[str, str, str], labels: tuple[str, str, str]) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / name for name in ("own", "base", "theirs")]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
        command = ["git", "merge-file", "--stdout", "--diff3"]
        command += [word for label in labels for word in ("-L", label)]
        try:
            done = subprocess.run(
                [*command, *map(str, files)], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise UnusableAppFolder(
                f"{OWN} can't be merged without git. Install git, and repeat the command"
            ) from None
    if done.returncode not in range(128):  # git returns the number of conflicts
        raise UnusableAppFolder(f"git can't merge {OWN}: {done.stderr.strip()}")
    return done.stdout


def _conflicts(text: str) -> tuple[int, ...]:
    lines = text.splitlines()
    return tuple(number for number, line in enumerate(lines, 1) if line.startswith("<<<<<<< "))


def _refuse_conflicts(text: str) -> None:
    found = _MARKER.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise UnusableAppFolder(
            f"{OWN}:{line}: an upgrade left a conflict here. Keep the lines that you need, and "
            "remove the lines with <<<<<<<, |||||||, ======= and >>>>>>>"
        )


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
