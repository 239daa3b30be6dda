"""Share the code of functions: all processes with the same code run one tree of files.

ministack would unpack a function's zip once for each of its processes: 2,500 files and 44 MB. Here
it is unpacked once, into a folder named by its hash, and each process has links to that folder.
`activate` replaces the tree with a newer one. A process finishes its call with the code that it
started with. The next call gets a process with the new tree.

Both ministack's process and tests, which create new trees, use this module.
"""

import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

_ACTIVE = ".active"


def active_tree(folder: Path, digest: str) -> Path:
    """Return the tree for functions whose zip has this hash (SHA-256, hexadecimal)."""
    try:
        return (folder / f"{digest}{_ACTIVE}").readlink()
    except FileNotFoundError:
        return folder / digest


def activate(folder: Path, digest: str, tree: Path) -> None:
    """Make the functions whose zip has this hash run `tree` from their next call on."""
    link = folder / f"{digest}{_ACTIVE}"
    new = link.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(tree)
    new.replace(link)  # atomic: there is always a link


def unpack(folder: Path, digest: str, code_zip: bytes) -> None:
    """Unpack a zip into its tree, unless the tree exists."""
    tree = folder / digest
    if tree.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as scratch:
        unpacked = Path(scratch) / "tree"
        with zipfile.ZipFile(BytesIO(code_zip)) as archive:
            archive.extractall(unpacked)
            for entry in archive.infolist():  # extractall drops the modes, which Lambda keeps
                if entry.external_attr >> 16 & 0o100:
                    (unpacked / entry.filename).chmod(0o755)
        try:
            unpacked.rename(tree)
        except OSError:  # another process was first
            if not tree.is_dir():
                raise


def zip_with_path(tree: Path, file: str) -> bytes:
    """Return a zip of one file, which contains the path of the tree."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(file, str(tree))
    return packed.getvalue()
