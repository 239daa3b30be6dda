"""Prepare a checkout or a project for sam, and run it: python -m job_runners.building.sam build"""

import os
import subprocess
import sys
from collections.abc import Iterable

from job_runners.building import ejected
from job_runners.building.app_folder import find_app_folder
from job_runners.building.app_requirements import check_version, project_pins
from job_runners.building.app_stack import check_policies
from job_runners.building.environments import make_tools, tools_folder
from job_runners.building.build import check
from job_runners.building.lint import lint
from job_runners.building.sam_folder import check_parameters, source_template, write_sam_folder
from job_runners.errors import JobRunnersError
from job_runners.places import ROOT


def main() -> int:
    """Prepare what sam needs, run it, and return its exit code."""
    try:
        app = find_app_folder()
        project_pins(app)  # raises an error if the lock is missing or outdated
        check_version(ROOT)
        if warning := ejected.warning():
            print(warning, file=sys.stderr)
        template = write_sam_folder() / "template.yaml"
        check_parameters(template)
        templates = [source_template()]
        if app and app.workers:
            templates.append(template)  # differs from its source by the functions of the classes
        if app and app.template.exists():
            check_policies(app.template, template)
            templates.append(app.template)
        make_tools()
        for path in templates:
            lint(path)
        if app:
            check(app)
    except JobRunnersError as error:
        print(error, file=sys.stderr)
        return 1
    tools = tools_folder()
    environment = {
        "SAM_CLI_TELEMETRY": "0",
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    command = [str(tools / "sam"), *sys.argv[1:]]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        _print_output(process.stdout or ())
    return process.returncode


def _print_output(lines: Iterable[str]) -> None:
    """Print sam's output without its last part: commands that don't fit a project."""
    is_in_last_part = False
    for line in lines:
        if line.startswith("Commands you can use next"):
            is_in_last_part = True
        if not is_in_last_part:
            print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
