"""Run sam on a checkout or a project: python -m job_runners.building.sam build [arguments]"""

import os
import subprocess
import sys
from collections.abc import Iterable

from job_runners.building import ejected
from job_runners.building.app_folder import find_app_folder
from job_runners.building.app_requirements import check_version, locked
from job_runners.building.app_stack import check_policies
from job_runners.building.environments import make_tools, tools_folder
from job_runners.building.forgotten import check_requirements
from job_runners.building.lint import lint
from job_runners.building.sam_folder import check_parameters, template, write_sam_folder
from job_runners.errors import JobRunnersError
from job_runners.places import ROOT


def main() -> int:
    """Prepare what sam needs, run it, and return its exit code."""
    try:
        app = find_app_folder()
        locked(app)
        check_version(ROOT)
        if warning := ejected.warning():
            print(warning, file=sys.stderr)
        written = write_sam_folder() / "template.yaml"
        check_parameters(written)
        own = [app.template] if app and app.template.exists() else []
        for each in own:
            check_policies(each, written)
        make_tools()
        if app:
            check_requirements(app)
        rendered = [written] if app and app.workers else []
        for each in (template(), *rendered, *own):
            lint(each)
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
        _show(process.stdout or ())
    return process.returncode


def _show(lines: Iterable[str]) -> None:
    """Print the output of sam, without its advice at the end, which doesn't fit a project."""
    is_advice = False
    for line in lines:
        is_advice = is_advice or line.startswith("Commands you can use next")
        if not is_advice:
            print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
