"""The code of each release, as tests/released/ keeps it: its template, and what its functions ran.

It is kept whole, because a checkout need not have the history, and tests run a release's code. For
the same reason, a list of hashes shows whether the files of a release have changed.
"""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

RELEASED = Path(__file__).parents[1] / "released"
VERSIONS = sorted(
    (file.parent.name for file in RELEASED.glob("*/tables.json")),
    key=lambda version: [int(part) for part in version.split(".")],
)
_ARCHIVE = "code.tar.xz"
_HASHES = "SHA256SUMS"  # in the format of sha256sum
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


def seal(release: Path) -> None:
    """Add the hashes of a new release's files to the list."""
    with (release.parent / _HASHES).open("a") as hashes:
        hashes.writelines(f"{line}\n" for line in _hashed(release))


def changed(released: Path = RELEASED) -> list[str]:
    """Return the files that were added, changed or removed after their release was recorded."""
    hashes = released / _HASHES
    listed = hashes.read_text().splitlines() if hashes.exists() else []
    found = [line for each in released.iterdir() if each.is_dir() for line in _hashed(each)]
    return sorted({line.partition("  ")[2] for line in set(listed) ^ set(found)})


def _hashed(release: Path) -> Iterator[str]:
    for file in sorted(each for each in release.rglob("*") if each.is_file()):
        name = file.relative_to(release.parent).as_posix()
        yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}"


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return the entry without who made it and when, so that the same code is the same archive."""
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
