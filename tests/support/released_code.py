"""The code of each release, as tests/released/ keeps it: its template, and what its functions ran.

It is kept whole, because a checkout need not have the history, and tests run a release's code.
"""

import tarfile
from collections.abc import Iterable
from pathlib import Path

RELEASED = Path(__file__).parents[1] / "released"
VERSIONS = sorted(
    (file.parent.name for file in RELEASED.glob("*/tables.json")),
    key=lambda version: [int(part) for part in version.split(".")],
)
_ARCHIVE = "code.tar.xz"
TEMPLATE = "template.yaml"


def pack(root: Path, names: Iterable[str], folder: Path) -> None:
    """Keep the template and these files and folders of a checkout in a release's folder."""
    with tarfile.open(folder / _ARCHIVE, "w:xz", dereference=True) as archive:
        for name in sorted([TEMPLATE, *names]):
            archive.add(root / name, name, filter=_anonymous)


def unpack(release: Path, folder: Path) -> Path:
    """Unpack what `pack` has kept in a release's folder into another folder, and return that."""
    with tarfile.open(release / _ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return the entry without who made it and when, so that the same code is the same archive."""
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
