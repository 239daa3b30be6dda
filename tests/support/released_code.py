"""The code of each release, as tests/released/ keeps it, with the program that recorded its data.

It is kept whole, because a checkout need not have the history, and tests run a release's code. For
the same reason, a list of hashes shows whether the files of a release have changed. A version that
CHANGELOG.md calls unreleased has neither code nor hashes.
"""

import hashlib
import re
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
RELEASED = _ROOT / "tests" / "released"
CHANGELOG = _ROOT / "CHANGELOG.md"
_ARCHIVE = "code.tar.xz"
_HASHES = "SHA256SUMS"  # in the format of sha256sum
TEMPLATE = "template.yaml"
# Texts that hold only until a package index has the package, and the pages that may have them.
_UNRELEASED = re.compile(
    r"job_runners-….whl|wheels/job_runners-|(isn't on|unrelated package|with this name on) .*"
    r"|(isn't|not yet|nothing was) released|release of \d|no public address|Wheels aren't signed"
    r"|^make wheel|([Gg]et|[Ii]nstall) the wheel|get-the-wheel|([Bb]uild|copy) its wheel"
)
_PAGES = (
    *("README.md", "SECURITY.md", "docs/**/*.md", "tests/released/README.md"),
    *("job_runners/**/*.in", "job_runners/cli/**/*.py"),
)
# What record_release.py imports, next to the package.
_RECORDER = (
    *("record_limits", "record_release", "record_unique", "record_waits", "released_code"),
    *("released_queues", "released_work", "spans", "stored_state"),
)


def _in_order(files: Iterator[Path]) -> list[str]:
    versions = {file.parent.name for file in files}
    return sorted(versions, key=lambda version: [int(part) for part in version.split(".")])


RECORDED = _in_order(RELEASED.glob("*/tables.json"))
VERSIONS = _in_order(RELEASED.glob(f"*/{_ARCHIVE}"))  # those that are released


def is_dated(version: str) -> bool:
    """Return whether CHANGELOG.md has a date for a version, which releases it."""
    heading = rf"^## {re.escape(version)} \([0-9-]+\)$"
    return bool(re.search(heading, CHANGELOG.read_text(), re.MULTILINE))


def unreleased_texts(root: Path = _ROOT) -> list[str]:
    """Return the lines, each with its place, that call the package unreleased."""
    return [
        f"{file.relative_to(root)}:{number}: {line.strip()}"
        for each in _PAGES
        for file in sorted(root.glob(each))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if _UNRELEASED.search(line)
    ]


def package(root: Path) -> list[str]:
    """Return the files and folders of a checkout of which its build makes the wheel."""
    config = tomllib.loads((root / "pyproject.toml").read_text())
    wheel = config["tool"]["hatch"]["build"]["targets"]["wheel"]
    metadata = ("pyproject.toml", "hatch_build.py", "README.md")
    licenses = config["project"]["license-files"]
    return sorted([*metadata, *licenses, *wheel["only-include"], *wheel["force-include"]])


def pack(root: Path, folder: Path) -> None:
    """Keep the code of a checkout in a release's folder, with the program that records its data."""
    recorder = [f"tests/support/{name}.py" for name in _RECORDER]
    with tarfile.open(folder / _ARCHIVE, "w:xz", dereference=True) as archive:
        for name in sorted([*package(root), *recorder]):
            archive.add(root / name, name, filter=_anonymous)


def changed_code(root: Path, release: Path) -> list[str]:
    """Return the files of the package in which a checkout differs from a release."""
    with tarfile.open(release / _ARCHIVE) as archive:
        kept = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
        content = {name: file.read() for name, file in kept.items() if file is not None}
    recorder = {name: text for name, text in content.items() if name.startswith("tests/")}
    files = [file for name in package(root) for file in _files(root / name)]
    found = {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
    return sorted({name for name, _ in (content.items() - recorder.items()) ^ found.items()})


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for each in path.iterdir() if each.name != "__pycache__" for file in _files(each)]


def unpack(release: Path, folder: Path) -> Path:
    """Unpack what `pack` has kept in a release's folder into another folder, and return that."""
    with tarfile.open(release / _ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def seal(release: Path) -> None:
    """Add the hashes of a new release's files to the list."""
    with (release.parent / _HASHES).open("a") as hashes:
        hashes.writelines(f"{line}\n" for line in _hashed(release))


def sealed() -> set[str]:
    """Return the versions whose files must not change any more."""
    hashes = RELEASED / _HASHES
    lines = hashes.read_text().splitlines() if hashes.exists() else []
    return {line.partition("  ")[2].partition("/")[0] for line in lines}


def changed(released: Path = RELEASED) -> list[str]:
    """Return the files that were added, changed or removed after their release was recorded."""
    hashes = released / _HASHES
    listed = hashes.read_text().splitlines() if hashes.exists() else []
    releases = [file.parent for file in released.glob(f"*/{_ARCHIVE}")]
    found = [line for each in releases for line in _hashed(each)]
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
