"""Run uv, which locks and installs packages. The extra `app` installs uv itself."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# uv doesn't read pip's variables for package indexes. These are its own, the current name first.
_UV_VARIABLES = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
}
# An index or a proxy may have a company's own certificate. UV_NATIVE_TLS is for old versions of uv.
_SYSTEM_CERTS = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}


# Patterns of uv's errors, and advice about each.
_ADVICE = (
    (
        r"(?i)dns error|client error \(Connect\)|network was disabled|Network is unreachable|"
        r"operation timed out",
        "The package index can't be reached. Connect to the network, and repeat the command. "
        "Packages that were installed before need no network",
    ),
    (
        "must have a hash",
        "A build installs only files that match a hash. Pin requirements.txt with hashes. If a "
        "file was found with find-links, or in an index that gives no hashes, uv.lock has no "
        "hash: add the wheel itself, with uv add FOLDER/NAME.whl",
    ),
    (
        "was not found in the p",  # package registry, or provided package
        "No package index has this package for {platform}, or its index has refused your "
        "password. Check the package's name. For a private index, check the user name and the "
        'password too: see "A private package index" in the docs',
    ),
    (
        "no wheels with a matching|no usable wheels|has no wheels|wheel is compatible with",
        "The package has no wheel for {platform}, and a build can't compile it. Choose "
        "another version or another package, or, if it has a wheel for the other architecture, "
        "set Architecture in samconfig.toml. If it is pure Python, you can also build a wheel "
        "once: pip wheel --no-deps NAME -w wheels. Then add it: uv add wheels/NAME.whl. In the "
        'docs, see "A package without a wheel"',
    ),
)


def uv(
    arguments: Sequence[str],
    folder: Path,
    *,
    stdin: str | None = None,
    installs: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run uv in a folder, with the settings in its pyproject.toml, and return the ended process.

    Pass installs=False if the command only reads a lock. Otherwise uv would get the indexes in
    pip's variables, and would call a lock outdated that was created with other indexes.
    """
    return subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments],
        cwd=folder,
        env=environment(installs=installs),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def environment(*, installs: bool = True) -> dict[str, str]:
    """Return the variables for uv. If it installs packages, it uses the same indexes as pip."""
    variables = {**os.environ, **_SYSTEM_CERTS}
    for pip_name, uv_names in _UV_VARIABLES.items() if installs else ():
        url = os.environ.get(pip_name)
        if url and not any(map(os.environ.get, uv_names)):
            variables[uv_names[0]] = url
    return variables


def uv_command(arguments: str) -> str:
    """Return a command of uv for a person to type."""
    program = "uv" if shutil.which("uv") else f"{sys.executable} -m uv"
    return f"{program} {arguments}"


def with_advice(output: str, *, platform: str) -> str:
    """Return uv's output, followed by advice. `platform` is where the packages should run."""
    for pattern, advice in _ADVICE:
        if re.search(pattern, output):
            return f"{output.strip()}\n{advice.format(platform=platform)}"
    return output.strip()
