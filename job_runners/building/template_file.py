"""Read CloudFormation templates, whose YAML has tags such as !Ref, and resolve their functions."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from job_runners.building.app_folder import UnusableAppFolder

# The parser in C is 30 times as fast. PyYAML's wheels have it.
_Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc,valid-type] # yaml has no types
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


class Unresolved(Exception):
    """A value isn't known before a deploy. The message names the part of the template."""


# The functions that only need the values of their arguments.
_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "Fn::And": all,
    "Fn::Equals": lambda values: str(values[0]) == str(values[1]),
    "Fn::Join": lambda values: values[0].join(map(str, values[1])),
    "Fn::Not": lambda values: not values[0],
    "Fn::Or": any,
    "Fn::Select": lambda values: values[1][int(values[0])],
    "Fn::Split": lambda values: values[1].split(values[0]),
}


class Resolver:
    """Resolves the functions in parts of a template.

    `values` has the values of its parameters and of pseudo parameters such as AWS::Region.
    `attribute_of` returns an attribute of a resource, or for the attribute "" the value of Ref. It
    raises Unresolved.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        values: Mapping[str, Any],
        attribute_of: Callable[[str, str], Any],
    ) -> None:
        self._conditions: Mapping[str, Any] = template.get("Conditions") or {}
        self._attribute_of = attribute_of
        parameters = template.get("Parameters") or {}
        defaults = {name: parameter.get("Default") for name, parameter in parameters.items()}
        self.values = {"AWS::NoValue": None, "AWS::Partition": "aws", **defaults, **values}

    def exists(self, part: Mapping[str, Any]) -> bool:
        """Return whether the condition of a resource or an output holds. Raises Unresolved."""
        return "Condition" not in part or self._holds(part["Condition"])

    def resolve(self, value: Any) -> Any:
        """Return a value of the template without functions. Raises Unresolved."""
        match value:
            case {"Ref": str(name)}:
                return self._reference(name)
            case {"Condition": str(name)}:
                return self._holds(name)
            case dict() if len(value) == 1 and next(iter(value)).startswith("Fn::"):
                return self._call(*next(iter(value.items())))
            case dict():
                pairs = ((name, self.resolve(inner)) for name, inner in value.items())
                return {name: inner for name, inner in pairs if inner is not None}
            case list():
                return [item for item in map(self.resolve, value) if item is not None]
        return value

    def _holds(self, condition: str) -> bool:
        if condition not in self._conditions:
            raise Unresolved(condition)
        return bool(self.resolve(self._conditions[condition]))

    def _call(self, function: str, arguments: Any) -> Any:
        match function, arguments:
            case "Fn::GetAtt", [str(name), str(attribute)]:
                return self._attribute_of(name, attribute)
            case "Fn::If", [str(condition), yes, no]:
                return self.resolve(yes if self._holds(condition) else no)
            case "Fn::Sub", str(text):
                return self._substitute(text, {})
            case "Fn::Sub", [str(text), dict(variables)]:
                return self._substitute(text, self.resolve(variables))
        try:
            return _FUNCTIONS[function](self.resolve(arguments))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise Unresolved(function) from None

    def _reference(self, name: str) -> Any:
        return self.values[name] if name in self.values else self._attribute_of(name, "")

    def _substitute(self, text: str, variables: Mapping[str, Any]) -> str:
        def replacement(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            if name in variables:
                return str(variables[name])
            return str(self._attribute_of(name, attribute) if attribute else self._reference(name))

        return re.sub(r"\$\{([^!}]+)\}", replacement, text).replace("${!", "${")
