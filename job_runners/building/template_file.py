"""Read CloudFormation templates, whose YAML has tags such as !Ref."""

from pathlib import Path
from typing import Any

import yaml

from job_runners.building.app_config import UnusableAppFolder


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads a template. `!Ref name` becomes `{"Ref": name}`, as in a template in JSON."""

    # Don't read dates: the version 2012-10-17 of a policy must stay a string.
    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the base class
        letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _long_form(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    value = loader.construct_scalar(node)
    return {name: value.split(".", 1) if tag == "GetAtt" else value}


_Loader.add_multi_constructor("!", _long_form)


def read_template(text: str, place: object) -> Any:
    """Return the content of a template. `place` is its name in errors.

    Raises UnusableAppFolder with the line of a mistake.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise UnusableAppFolder(f"{place}:{line} is not YAML: {error.problem}") from None


def parameter_names(template: Path) -> set[str]:
    """Return the names of a template's parameters."""
    return section_names(template, "Parameters")


def section_names(template: Path, section: str) -> set[str]:
    """Return the names that a section of a template defines."""
    content = read_template(template.read_text(encoding="utf-8"), template) or {}
    return set(content.get(section) or {})
