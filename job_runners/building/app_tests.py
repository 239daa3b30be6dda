"""Run the tests of the app's code: python -m job_runners.building.app_tests [pytest arguments]"""

import os
import subprocess
import sys

from job_runners.building.app_folder import AppFolder, exit_code, find_app_folder
from job_runners.places import CODE, PROJECT_VARIABLE

_NO_TESTS = 5  # pytest's exit code when it finds no tests


def run(app: AppFolder, arguments: list[str]) -> int:
    """Run pytest in the app's folder, with the app's configuration if it has one.

    Return the exit code.
    """
    if not app.tests.is_dir():
        print(f"{app.tests} doesn't exist, so there are no tests to run", file=sys.stderr)
        return 0
    paths = [str(CODE), str(app.path), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        PROJECT_VARIABLE: str(app.path),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    options = ["-p", "job_runners.testing.plugin", "--quiet", "-o", f"testpaths={app.tests.name}"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *arguments]
    code = subprocess.run(command, cwd=app.path, env=environment, check=False).returncode
    return 0 if code == _NO_TESTS else code


def main() -> int:
    """Run the tests if there is a project, and return the exit code."""
    app = find_app_folder()
    return run(app, sys.argv[1:]) if app else 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
