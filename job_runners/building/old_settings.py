"""Adapt the samconfig.toml of a checkout of version 0.2 to a project."""

import re
import tomllib
from pathlib import Path

from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.old_names import renamed

_TEMPLATE = 'template_file = ".jobs/template.yaml" # the jobs command writes it'
_BUILD = "[default.build.parameters]"
_BUILD_SECTION = re.compile(r"^\[(?:[\w-]+)\.build\.parameters\][^\n]*\n", re.MULTILINE)
_OLD_TEMPLATE = re.compile(r"^template(_file)?\s*=[^\n]*\n", re.MULTILINE)
_MODULES = re.compile(r"\b(JobRunner|Extensions)(\s*=\s*[\"']?)([\w.,\s]+)")


def rewritten_samconfig(text: str, file: Path) -> str:
    """Return the text for a project: everything stays, but the template is that of the project.

    Raises UnusableAppFolder if the text isn't TOML, or has no stack name.
    """
    try:
        read = tomllib.loads(text)
        read["default"]["global"]["parameters"]["stack_name"]
    except tomllib.TOMLDecodeError as error:
        raise UnusableAppFolder(f"{file} is not TOML: {error}") from None
    except KeyError:
        raise UnusableAppFolder(
            f"{file} has no stack_name in [default.global.parameters]. Add it, so that the project "
            "deploys to the same stack"
        ) from None
    text = _OLD_TEMPLATE.sub("", text)
    if not re.search(rf"^{re.escape(_BUILD)}", text, re.MULTILINE):
        text = f"{text.rstrip()}\n\n{_BUILD}\nbuild_in_source = true\n"
    text = _BUILD_SECTION.sub(rf"\g<0>{_TEMPLATE}\n", text)
    return _MODULES.sub(_renamed_modules, text)


def _renamed_modules(found: re.Match[str]) -> str:
    name, between, modules = found.groups()
    return name + between + re.sub(r"[\w.]+", lambda each: renamed(each[0]) or each[0], modules)
