"""How large the code of the functions is, and how close to what Lambda takes."""

from pathlib import Path

from errors import JobRunnersError

MOST = (
    250 * 1024 * 1024
)  # bytes of code, not zipped, that Lambda takes: a function's and its layers'
NEAR = 0.8  # of that
_MB = 1024 * 1024
_SHOWN = 3  # of what is largest


class CodeTooLarge(JobRunnersError):
    """Lambda takes no code of this size."""


def check_size(tree: Path) -> str | None:
    """Return a warning about code that is near the limit, None if it is far from it. Raises
    CodeTooLarge."""
    sizes = {entry.name: _size(entry) for entry in tree.iterdir()}
    size = sum(sizes.values())
    if size < NEAR * MOST:
        return None
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN]
    parts = ", ".join(f"{name} {sizes[name] // _MB} MB" for name in largest)
    text = (
        f"The code of each function has {size // _MB} MB, and Lambda takes {MOST // _MB} MB. The "
        f"largest parts: {parts}. Every function has all packages that your requirements name: "
        "leave out what your work can do without"
    )
    if size > MOST:
        raise CodeTooLarge(text)
    return text


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())
