"""Run uv, which locks and installs packages. It is a package of the extra `app`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# uv doesn't read pip's variables for package indexes.
_OF_PIP = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
}


def uv(
    words: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    text: str | None = None,
    quiet: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run uv in a folder, whose pyproject.toml has its settings, and return what it printed.

    `text` is its standard input.
    """
    # The machine's certificates, because an index or a proxy may have one of the company's own.
    return subprocess.run(
        [sys.executable, "-m", "uv", *(["--quiet"] if quiet else []), "--system-certs", *words],
        cwd=folder,
        env={**os.environ, **_indexes_of_pip(os.environ), **(variables or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def shown_uv(words: str) -> str:
    """Return a command of uv for a person to type."""
    program = "uv" if shutil.which("uv") else f"{sys.executable} -m uv"
    return f"{program} {words}"


def _indexes_of_pip(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        names[0]: environment[of_pip]
        for of_pip, names in _OF_PIP.items()
        if environment.get(of_pip) and not any(map(environment.get, names))
    }
