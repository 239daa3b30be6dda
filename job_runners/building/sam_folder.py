"""The folder that `sam build` reads: the template, and the Makefile that builds the functions.

Commands write both to .jobs/ in the project, so that they match the installed version. If the
project has a template.yaml of its own, that one is copied. A checkout has both at the top, too, for
sam without a command.
"""

import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from job_runners.building import ejected
from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.app_stack import overrides, parameters
from job_runners.building.target import Target
from job_runners.places import DATA, PROJECT, ROOT, variables

_BUILD_PARAMETERS = frozenset({"Architecture", "PythonRuntime"})  # a build reads these too
_MAKEFILE = """\
# Written by job-runners, for sam build.
{exported}JOBS_PYTHON ?= {python}
BUILD_FOR ?= samconfig
build-%: FORCE
\t@"$(JOBS_PYTHON)" -P -m job_runners.building.build "$(ARTIFACTS_DIR)" --for $(BUILD_FOR)
FORCE: ;
"""


def template() -> Path:
    """Return the template that is deployed."""
    return ejected.OWN if ejected.OWN.exists() else DATA / "template.yaml"


def check_parameters() -> None:
    """Raise UnusableAppFolder if samconfig.toml sets a parameter that the template doesn't have,
    and UnusableTarget if it names no target.

    CloudFormation would refuse the parameter after the build, for example after an upgrade.
    """
    file = ROOT / "samconfig.toml"
    Target.from_samconfig(file)
    config = tomllib.loads(file.read_text(encoding="utf-8"))
    named = {each.partition("=")[0] for table in config for each in _overrides(config, table)}
    if unknown := sorted(named - parameters(template()) - _BUILD_PARAMETERS):
        raise UnusableAppFolder(
            f"{file} sets {', '.join(unknown)}, which the template doesn't have. Remove it: Job "
            "Runners never changes this file"
        )


def _overrides(config: Mapping[str, Any], table: str) -> list[str]:
    return overrides(config, table) if isinstance(config[table], dict) else []


def write_sam_folder() -> Path:
    """Write the folder, except in a checkout without a project. Return its path."""
    if PROJECT is None:
        return ROOT
    folder = ROOT / ".jobs"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(template(), folder / "template.yaml")
    exported = "".join(f"export {name} := {value}\n" for name, value in variables().items())
    (folder / "Makefile").write_text(_MAKEFILE.format(python=sys.executable, exported=exported))
    (folder / ".gitignore").write_text("*\n")
    return folder
