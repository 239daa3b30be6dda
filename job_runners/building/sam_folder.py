"""Write the folder that `sam build` reads: a template, and a Makefile that builds the functions.

Commands write this folder, .jobs/ in the project, for each build, so that it matches the installed
version. A project's own template.yaml replaces our template. A checkout without a project has both
files in its top folder. python -m job_runners.building.sam_folder prints the template's path.
"""

import hashlib
import sys
from difflib import get_close_matches, unified_diff
from pathlib import Path

from job_runners import __version__
from job_runners.building.app_folder import (
    CONFIG,
    UnusableAppFolder,
    class_place,
    exit_code,
    read_workers,
)
from job_runners.building.samconfig import BUILD_PARAMETERS, SAMCONFIG, SamConfig, Target
from job_runners.building.template_file import parameter_names, section_names
from job_runners.building.worker_classes import add_worker_functions
from job_runners.places import CODE, COMMAND, DATA, PROJECT, ROOT, variables

_MAKEFILE = """\
# Written by job-runners, for sam build.
{exports}export WORKER_CLASSES := {classes}
JOBS_PYTHON ?= {python}
BUILD_FOR ?= samconfig
build-%: FORCE
\t@"$(JOBS_PYTHON)" -P -m job_runners.building.build "$(ARTIFACTS_DIR)" --for $(BUILD_FOR)
FORCE: ;
"""
PROJECT_TEMPLATE = ROOT / "template.yaml"
_OUR_TEMPLATE = DATA / "template.yaml"
_FIRST_LINE = "# Copied from the template of Job Runners "  # then the version and a hash
_POLICY = "WorkerPolicyArn"  # the names of the parameters for workers' policies end in this

_MAX_FUNCTION_NAME = 64  # characters


def source_template() -> Path:
    """Return the project's own template if it has one, or else the template of Job Runners."""
    if PROJECT_TEMPLATE.exists():
        return PROJECT_TEMPLATE
    return DATA / "template.yaml"


def check_parameters(template: Path) -> None:
    """Check samconfig.toml for mistakes that CloudFormation would find only after the build.

    Raises BuildProblem if the file names no target. Raises UnusableAppFolder if the template
    lacks a parameter that the file sets, or if the function of a worker class would have too long a
    name.
    """
    Target.from_samconfig()
    config = SamConfig()
    names: set[str] = set()
    for environment in config.environments():
        names |= config.values(environment).keys()
    if unknown := sorted(names - parameter_names(template) - {*BUILD_PARAMETERS}):
        raise UnusableAppFolder(
            f"{SAMCONFIG} sets {', '.join(unknown)}, which the template doesn't have. Remove it: "
            "Job Runners never changes this file"
        )
    for class_name in read_workers(ROOT / CONFIG):
        for environment in config.environments():
            function = f"{config.stack_name(environment)}-worker-{class_name}"
            if len(function) > _MAX_FUNCTION_NAME:
                raise UnusableAppFolder(
                    f"{class_place(ROOT / CONFIG, class_name)}: the function of this worker class "
                    f"would be named {function}, which has {len(function)} characters. Lambda "
                    f"allows {_MAX_FUNCTION_NAME}. Shorten the class's name, or stack_name in "
                    f"{SAMCONFIG}"
                )


def write_sam_folder() -> Path:
    """Write the folder, except in a checkout without a project. Return its path.

    Its template also has a function for each worker class in app.toml.
    """
    if PROJECT is None:
        return ROOT
    folder = ROOT / ".jobs"
    folder.mkdir(exist_ok=True)
    workers = read_workers(ROOT / CONFIG)
    text = add_worker_functions(source_template().read_text("utf-8"), workers)
    (folder / "template.yaml").write_text(text)
    exports = "".join(f"export {name} := {value}\n" for name, value in variables().items())
    makefile = _MAKEFILE.format(python=sys.executable, exports=exports, classes=",".join(workers))
    (folder / "Makefile").write_text(makefile)
    (folder / ".gitignore").write_text("*\n")
    return folder


def eject() -> str | None:
    """Write template.yaml, and return None.

    If the file exists, leave it unchanged, and return a unified diff from it to our template.
    """
    if not PROJECT_TEMPLATE.exists():
        PROJECT_TEMPLATE.write_text(_copy(), encoding="utf-8")
        return None
    project_lines = PROJECT_TEMPLATE.read_text("utf-8").splitlines(keepends=True)
    our_lines = _copy().splitlines(keepends=True)
    our_name = f"the template of Job Runners {__version__}"
    return "".join(unified_diff(project_lines, our_lines, PROJECT_TEMPLATE.name, our_name))


def template_warning() -> str | None:
    """Return a warning if template.yaml was copied from another template, else None."""
    if not PROJECT_TEMPLATE.exists():
        return None
    first_line, _, _ = PROJECT_TEMPLATE.read_text(encoding="utf-8").partition("\n")
    new_first_line, _, _ = _copy().partition("\n")
    if not first_line.startswith(_FIRST_LINE) or first_line == new_first_line:
        return None
    old = first_line.removeprefix(_FIRST_LINE)
    new = new_first_line.removeprefix(_FIRST_LINE)
    return (
        f"template.yaml was copied from the template of Job Runners {old}. The installed version "
        f"has another template: {new}. To see the difference, run {COMMAND} eject again. Copy "
        "the changes that you need, and the first line."
    )


def _copy() -> str:
    """Return the text of template.yaml as `eject` writes it."""
    text = _OUR_TEMPLATE.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{_FIRST_LINE}{__version__} ({digest})\n{text}"


def check_policies(template: Path, our_template: Path) -> None:
    """Raise UnusableAppFolder if an output seems to be a worker's policy under a wrong name.

    The worker would lack the policy's permissions.
    """
    outputs = section_names(template, "Outputs")
    policies = {name for name in parameter_names(our_template) if name.endswith(_POLICY)}
    unused = {name.casefold(): name for name in policies - outputs}
    for output in sorted(outputs - policies):
        similar = get_close_matches(output.casefold(), unused, n=1, cutoff=0.9)
        if similar:
            hint = f"Did you mean {unused[similar[0]]}?"
        elif output.casefold().endswith(_POLICY.casefold()):
            hint = f"Use {', '.join(sorted(policies))}"
        else:
            continue
        raise UnusableAppFolder(
            f"{template}: the output {output} is the policy of no worker. {hint}"
        )


def main() -> int:
    """Print the path of the template for a build of this checkout, and return the exit code.

    The checkout's own template lacks the functions of worker classes, so with classes in app.toml
    the path is in the written folder.
    """
    folder = write_sam_folder() if read_workers(ROOT / CONFIG) else CODE
    print(folder / "template.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
