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
# An index or a proxy may have a certificate of the company's own. New versions of uv read the 1st.
_SYSTEM_CERTS = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}


def uv(
    words: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    text: str | None = None,
    quiet: bool = True,
    installs: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run uv in a folder, whose pyproject.toml has its settings, and return what it printed.

    `text` is its standard input. Pass installs=False to compare a lock only: the indexes in pip's
    variables then don't count, because uv finds a lock outdated if it was made with other indexes.
    """
    return subprocess.run(
        [sys.executable, "-m", "uv", *(["--quiet"] if quiet else []), *words],
        cwd=folder,
        env={**environment(installs=installs), **(variables or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def environment(*, installs: bool = True) -> dict[str, str]:
    """Return the variables for uv. If it installs packages, it finds them as pip does."""
    return {**os.environ, **_SYSTEM_CERTS, **(_indexes_of_pip(os.environ) if installs else {})}


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
