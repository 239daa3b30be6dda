"""Compare the size of the functions' code with Lambda's limit."""

from pathlib import Path

from job_runners.errors import JobRunnersError

# Lambda's limit for the unzipped code of a function and its layers, in bytes.
MOST = 250 * 1024 * 1024
NEAR = 0.8  # the share of the limit from which check_size returns a warning
_MB = 1024 * 1024
_SHOWN = 3  # parts that a message names, largest first


class CodeTooLarge(JobRunnersError):
    """The code exceeds Lambda's limit."""


def check_size(tree: Path) -> str | None:
    """Return a warning if the code is near the limit, or None if it isn't. Raises CodeTooLarge."""
    sizes = {entry.name: _size(entry) for entry in tree.iterdir()}
    size = sum(sizes.values())
    if size < NEAR * MOST:
        return None
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN]
    parts = ", ".join(f"{name} {sizes[name] // _MB} MB" for name in largest)
    text = (
        f"The code of each function has {size // _MB} MB. Lambda's limit is {MOST // _MB} MB. The "
        f"largest parts: {parts}. Every function contains all packages in your requirements, so "
        "remove those that your code doesn't need"
    )
    if size > MOST:
        raise CodeTooLarge(text)
    return text


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())
