"""Runs the tests of an organisation's own work: python -m tools.app_tests [arguments of pytest]"""

import os
import subprocess
import sys

from errors import JobRunnersError
from tools.app_folder import AppFolder, find_app_folder
from tools.target import ROOT

_NO_TESTS = 5  # how pytest ends when it has found none


def run(app: AppFolder, arguments: list[str]) -> int:
    """Run pytest in the app's folder, with its own configuration if it has one; return the code."""
    if not app.tests.is_dir():
        print(f"{app.tests} is not there: your work has no tests", file=sys.stderr)
        return 0
    paths = [str(ROOT), str(app.path), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "APP": str(app.path),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    options = ["-p", "testing.plugin", "--quiet"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *arguments, str(app.tests)]
    code = subprocess.run(command, cwd=app.path, env=environment, check=False).returncode
    return 0 if code == _NO_TESTS else code


def main() -> int:
    """Run them, if there are any; return the exit code."""
    try:
        app = find_app_folder()
    except JobRunnersError as error:
        print(error, file=sys.stderr)
        return 1
    return run(app, sys.argv[1:]) if app else 0


if __name__ == "__main__":
    sys.exit(main())
