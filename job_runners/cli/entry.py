"""Where the installed `jobs` and `job-runners` begin: says what to install if that is missing."""

import sys
from pathlib import Path

_NEEDED = frozenset({"botocore", "click", "rich"})  # the extra `cli`


def main() -> None:
    """Run the command."""
    try:
        from job_runners.cli.app import jobs

        jobs(prog_name=Path(sys.argv[0]).name)
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        sys.exit(
            f"The command needs {package}, which is not installed; the client alone does not.\n"
            "Install it with what it needs, from the wheel that make wheel makes:\n"
            "  pipx install 'dist/job_runners-….whl[cli]'\n"
            "or, beside your own packages:\n"
            "  pip install 'dist/job_runners-….whl[cli]'"
        )
