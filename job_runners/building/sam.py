"""Prepare a checkout or a project for sam, and run it: python -m job_runners.building.sam build"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from job_runners.building.app_folder import BuildProblem, exit_code, find_app_folder
from job_runners.building.app_requirements import check_version, project_pins
from job_runners.building.build import check
from job_runners.building.sam_folder import (
    check_parameters,
    check_policies,
    source_template,
    template_warning,
    write_sam_folder,
)
from job_runners.building.uv import environment
from job_runners.places import BUILD_CACHE, CACHE, DATA, ROOT, TOOLS

_REQUIREMENTS = DATA / "requirements" / "aws.txt"
_FINISHED_MARKER = "made"  # an empty file that is created last


def sam_environment(tools: Path) -> dict[str, str]:
    """Return the variables for sam. It finds the tools that build functions in its own folder."""
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"SAM_CLI_TELEMETRY": "0", **os.environ, "PATH": path}


def _print_output(lines: Iterable[str]) -> None:
    """Print sam's output without its last part: commands that don't fit a project."""
    is_in_last_part = False
    for line in lines:
        if line.startswith("Commands you can use next"):
            is_in_last_part = True
        if not is_in_last_part:
            print(line, end="", flush=True)


def lint(template: Path) -> None:
    """Raise BuildProblem if CloudFormation would refuse the template.

    Linting takes seconds, so a template that has passed isn't linted again until it changes.
    """
    folder = tools_folder()
    digest = hashlib.sha256(f"{folder}\0".encode() + template.read_bytes()).hexdigest()[:16]
    marker = BUILD_CACHE / f"linted-{digest}"
    if marker.exists():
        return
    command = [str(folder / "cfn-lint"), "--non-zero-exit-code", "error", "--format", "parseable"]
    command += ["--template", str(template)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        errors = re.findall(r"^(.*?:\d+):\d+:\d+:\d+:(E\w+):(.*)$", process.stdout, re.MULTILINE)
        problems = [f"  {place}: {text.strip()} ({rule})" for place, rule, text in errors]
        problems = problems or [process.stderr.strip()]
        raise BuildProblem(
            "\n".join([f"{template} has errors:", *problems])
            + "\nTo ignore a rule, name it under Metadata, cfn-lint, config, ignore_checks."
        )
    BUILD_CACHE.mkdir(parents=True, exist_ok=True)
    marker.touch()


def tools_folder() -> Path:
    """Return the folder of the environment's programs, which may not exist yet."""
    if TOOLS:
        return TOOLS / "bin"
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes())
    digest.update(f"{sys.base_prefix} {sys.version}".encode())
    return CACHE / f"aws-{digest.hexdigest()[:16]}" / "bin"


def make_tools() -> None:
    """Create the environment unless it exists. Raises BuildProblem."""
    if TOOLS:
        return
    if shutil.which("make") is None:
        raise BuildProblem(
            "sam builds the functions with make, which is not installed. Install it with your "
            "system's packages, such as apt install make, or on macOS with xcode-select --install."
        )
    folder = tools_folder().parent
    if (folder / _FINISHED_MARKER).exists():
        return
    print("Installing sam (a minute, once)", file=sys.stderr, flush=True)
    # Two projects may do this at the same time: uv's lock lets one wait for the other.
    create = ["venv", "--no-project", "--allow-existing", "--python", sys.executable, str(folder)]
    install = ["pip", "install", "--no-deps", "--require-hashes", "--python", str(folder)]
    install += ["--requirement", str(_REQUIREMENTS)]
    for arguments in (create, install):
        command = [sys.executable, "-m", "uv", "--quiet", *arguments]
        if subprocess.run(command, env=environment(), check=False).returncode != 0:
            raise BuildProblem(
                "sam can't be installed. The output above says why. Without a network, connect "
                "once: later builds work offline."
            )
    (folder / _FINISHED_MARKER).touch()


def main() -> int:
    """Prepare what sam needs, run it, and return its exit code."""
    app = find_app_folder()
    project_pins(app)  # raises an error if the lock is missing or outdated
    check_version(ROOT)
    if warning := template_warning():
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
    tools = tools_folder()
    command = [str(tools / "sam"), *sys.argv[1:]]
    with subprocess.Popen(
        command, cwd=ROOT, env=sam_environment(tools), stdout=subprocess.PIPE, text=True
    ) as process:
        _print_output(process.stdout or ())
    return process.returncode


if __name__ == "__main__":
    sys.exit(exit_code(main))
