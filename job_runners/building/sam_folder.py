"""The folder that `sam build` reads: the template, and the Makefile that builds the functions.

Commands write both to .jobs/ in the project, so that they match the installed version. If the
project has a template.yaml of its own, that one is copied. A checkout has both at the top, too, for
sam without a command. python -m job_runners.building.sam_folder prints which one make build needs.
"""

import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from job_runners.building import ejected
from job_runners.building.app_config import CONFIG, UnusableAppFolder, class_place, read_workers
from job_runners.building.app_stack import overrides
from job_runners.building.target import Target
from job_runners.building.template_file import parameters
from job_runners.places import CODE, DATA, PROJECT, ROOT, variables

_BUILD_PARAMETERS = frozenset({"Architecture", "PythonRuntime"})  # a build reads these too
_LONGEST_NAME = 64  # of a function
_MAKEFILE = """\
# Written by job-runners, for sam build.
{exported}export WORKER_CLASSES := {classes}
JOBS_PYTHON ?= {python}
BUILD_FOR ?= samconfig
build-%: FORCE
\t@"$(JOBS_PYTHON)" -P -m job_runners.building.build "$(ARTIFACTS_DIR)" --for $(BUILD_FOR)
FORCE: ;
"""


def template() -> Path:
    """Return the template that is deployed."""
    return ejected.OWN if ejected.OWN.exists() else DATA / "template.yaml"


def check_parameters(written: Path) -> None:
    """Raise UnusableAppFolder if samconfig.toml sets a parameter that the written template doesn't
    have, or a stack's name that is too long, and UnusableTarget if it names no target.

    CloudFormation would refuse both after the build, for example after an upgrade.
    """
    file = ROOT / "samconfig.toml"
    Target.from_samconfig(file)
    config = tomllib.loads(file.read_text(encoding="utf-8"))
    named = {each.partition("=")[0] for table in config for each in _overrides(config, table)}
    _check_stack_names(file, config)
    if unknown := sorted(named - parameters(written) - _BUILD_PARAMETERS):
        raise UnusableAppFolder(
            f"{file} sets {', '.join(unknown)}, which the template doesn't have. Remove it: Job "
            "Runners never changes this file"
        )


def _check_stack_names(file: Path, config: Mapping[str, Any]) -> None:
    for table in (each for each in config.values() if isinstance(each, dict)):
        stack = table.get("global", {}).get("parameters", {}).get("stack_name", "")
        for name in read_workers(ROOT / CONFIG):
            function = f"{stack}-worker-{name}"
            if len(function) > _LONGEST_NAME:
                raise UnusableAppFolder(
                    f"{class_place(ROOT / CONFIG, name)}: the function of this worker class would "
                    f"be named {function}, which has {len(function)} characters. Lambda allows "
                    f"{_LONGEST_NAME}. Shorten the class's name, or stack_name in {file}"
                )


def _overrides(config: Mapping[str, Any], table: str) -> list[str]:
    return overrides(config, table) if isinstance(config[table], dict) else []


def write_sam_folder() -> Path:
    """Write the folder, except in a checkout without a project. Return its path.

    The template gets a function for each worker class in app.toml.
    """
    if PROJECT is None:
        return ROOT
    folder = ROOT / ".jobs"
    folder.mkdir(exist_ok=True)
    workers = read_workers(ROOT / CONFIG)
    if workers:
        from job_runners.building.worker_classes import rendered  # most projects have none

        (folder / "template.yaml").write_text(rendered(template().read_text("utf-8"), workers))
    else:
        shutil.copyfile(template(), folder / "template.yaml")
    exported = "".join(f"export {name} := {value}\n" for name, value in variables().items())
    classes = ",".join(workers)
    text = _MAKEFILE.format(python=sys.executable, exported=exported, classes=classes)
    (folder / "Makefile").write_text(text)
    (folder / ".gitignore").write_text("*\n")
    return folder


def main() -> int:
    """Print the template for a build of this checkout, which is the written one if the project has
    worker classes. Return the exit code."""
    try:
        written = write_sam_folder() if read_workers(ROOT / CONFIG) else CODE
    except UnusableAppFolder as error:
        print(error, file=sys.stderr)
        return 1
    print(written / "template.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
