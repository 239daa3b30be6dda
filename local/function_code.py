"""What the processes of functions run: one tree of code, shared by all that run the same.

ministack would unpack a function's zip once for each of its processes, 2,500 files and 44 MB. Here
it is unpacked once, into a folder named by its hash, and each process has links to that. A tree
that is laid later can take its place (`put_in_force`): a process keeps what it began with to the
end of the call that it serves, and the next call finds a process of the new tree.

Used on both sides: by ministack's process, and by `make run`, which lays new trees.
"""

import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

_IN_FORCE = ".in-force"


def in_force(folder: Path, digest: str) -> Path:
    """Return the tree that functions run whose zip has this hash (SHA-256, hexadecimal)."""
    try:
        return (folder / f"{digest}{_IN_FORCE}").readlink()
    except FileNotFoundError:
        return folder / digest


def put_in_force(folder: Path, digest: str, tree: Path) -> None:
    """Have the functions whose zip has this hash run `tree` from their next call on."""
    link = folder / f"{digest}{_IN_FORCE}"
    new = link.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(tree)
    new.replace(link)  # at once: there is always one


def unpack(folder: Path, digest: str, code_zip: bytes) -> None:
    """Unpack a zip into its tree, unless it is there."""
    tree = folder / digest
    if tree.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as scratch:
        made = Path(scratch) / "tree"
        with zipfile.ZipFile(BytesIO(code_zip)) as archive:
            archive.extractall(made)
        try:
            made.rename(tree)
        except OSError:  # another process was first
            if not tree.is_dir():
                raise


def naming(tree: Path, file: str) -> bytes:
    """Return a zip of one file, which names the tree."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(file, str(tree))
    return packed.getvalue()
