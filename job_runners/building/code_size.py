"""Compare the size of the functions' code with Lambda's limit."""

from pathlib import Path

from job_runners.errors import JobRunnersError

# Lambda's limit for the unzipped code of a function and its layers, in bytes.
MAX_SIZE = 250 * 1024 * 1024
WARNING_SHARE = 0.8  # of MAX_SIZE: larger code gets a warning
_MB = 1024 * 1024
_LISTED_PARTS = 3  # the largest files and folders, which a message lists


class CodeTooLarge(JobRunnersError):
    """The code exceeds Lambda's limit."""


def check_size(tree: Path) -> str | None:
    """Return a warning if the code is near the limit, or None if it isn't. Raises CodeTooLarge."""
    sizes = {entry.name: _size(entry) for entry in tree.iterdir()}
    size = sum(sizes.values())
    if size < WARNING_SHARE * MAX_SIZE:
        return None
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:_LISTED_PARTS]
    parts = ", ".join(f"{name} {sizes[name] // _MB} MB" for name in largest)
    text = (
        f"The code of each function has {size // _MB} MB. Lambda's limit is {MAX_SIZE // _MB} MB. "
        f"The largest parts: {parts}. Every function contains all packages in your requirements, "
        "so remove those that your code doesn't need"
    )
    if size > MAX_SIZE:
        raise CodeTooLarge(text)
    return text


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())
