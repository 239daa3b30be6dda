"""The entry point of the installed `job-runners` command."""

import sys

_REQUIRED_PACKAGES = frozenset({"botocore", "click"})  # the extra `cli`


def main() -> None:
    """Run the command. If a package that it needs is missing, say how to install it."""
    try:
        from job_runners.cli.app import jobs

        jobs(prog_name="job-runners")
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _REQUIRED_PACKAGES:
            raise
        sys.exit(
            f"The command needs {package}, which isn't installed. (The client works without it.)\n"
            "Install the wheel with its extra cli:\n"
            "  pipx install 'PATH/job_runners-….whl[cli]'\n"
            "Or install it next to your own packages:\n"
            "  pip install 'PATH/job_runners-….whl[cli]'"
        )
