"""Run uv, which locks and installs packages. The extra `app` installs uv itself."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# uv doesn't read pip's variables for package indexes. These are its own, the current name first.
_UV_VARIABLES = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
}
# An index or a proxy may have a company's own certificate. UV_NATIVE_TLS is for old versions of uv.
_SYSTEM_CERTS = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}


def uv(
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    stdin: str | None = None,
    quiet: bool = True,
    installs: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run uv in a folder, with the settings in its pyproject.toml, and return the ended process.

    Pass installs=False if the command only reads a lock. Otherwise uv would get the indexes in
    pip's variables, and would call a lock outdated that was created with other indexes.
    """
    options = ["--quiet"] if quiet else []
    return subprocess.run(
        [sys.executable, "-m", "uv", *options, *arguments],
        cwd=folder,
        env={**environment(installs=installs), **(variables or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def environment(*, installs: bool = True) -> dict[str, str]:
    """Return the variables for uv. If it installs packages, it uses the same indexes as pip."""
    indexes = _pip_indexes(os.environ) if installs else {}
    return {**os.environ, **_SYSTEM_CERTS, **indexes}


def uv_command(arguments: str) -> str:
    """Return a command of uv for a person to type."""
    program = "uv" if shutil.which("uv") else f"{sys.executable} -m uv"
    return f"{program} {arguments}"


def _pip_indexes(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the indexes in pip's variables as variables of uv, unless these are set already."""
    indexes = {}
    for pip_name, uv_names in _UV_VARIABLES.items():
        url = environment.get(pip_name)
        if url and not any(environment.get(name) for name in uv_names):
            indexes[uv_names[0]] = url
    return indexes
