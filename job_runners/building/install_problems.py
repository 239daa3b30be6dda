"""Add advice to uv's error output if it can't install packages."""

import re

_NO_NETWORK = re.compile(
    r"dns error|client error \(Connect\)|network was disabled|Network is unreachable|"
    r"operation timed out",
    re.IGNORECASE,
)
_NOT_IN_INDEX = re.compile("was not found in the p")  # package registry, or provided package
_NO_WHEEL = re.compile(
    r"no wheels with a matching|no usable wheels|has no wheels|wheel is compatible with"
)


def with_advice(output: str, *, platform: str) -> str:
    """Return uv's output, followed by advice. `platform` is where the packages should run."""
    text = output.strip()
    advice = _advice(output, platform)
    return f"{text}\n{advice}" if advice else text


def _advice(output: str, platform: str) -> str:
    if _NO_NETWORK.search(output):
        return (
            "The package index can't be reached. Connect to the network, and repeat the command. "
            "Packages that were installed before need no network"
        )
    if "must have a hash" in output:
        return (
            "A build installs only files that match a hash. Pin requirements.txt with hashes. If a "
            "file was found with find-links, or in an index that gives no hashes, uv.lock has no "
            "hash: add the wheel itself, with uv add FOLDER/NAME.whl"
        )
    if _NOT_IN_INDEX.search(output):
        return (
            f"No package index has this package for {platform}, or its index has refused your "
            "password. Check the package's name. For a private index, check the user name and the "
            'password too: see "A private package index" in the docs'
        )
    if _NO_WHEEL.search(output):
        return (
            f"The package has no wheel for {platform}, and a build can't compile it. Choose "
            "another version or another package, or, if it has a wheel for the other architecture, "
            "set Architecture in samconfig.toml. If it is pure Python, you can also build a wheel "
            "once: pip wheel --no-deps NAME -w wheels. Then add it: uv add wheels/NAME.whl. In the "
            'docs, see "A package without a wheel"'
        )
    return ""
