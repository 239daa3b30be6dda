"""The templates and scripts of examples/operations, read and run as operators do."""

import re
import runpy
import sys
from typing import Any

import yaml

from job_runners.places import ROOT

_FOLDER = ROOT / "examples/operations"
_NAMES = {"AWS::AccountId": "ACCOUNT", "AWS::Region": "REGION", "Stack": "STACK", "ApiId": "API"}


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads CloudFormation's short functions: names in texts, and the first branch of an !If."""


def _value(loader: Any, _function: str, node: Any) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)[1]
    text = loader.construct_scalar(node)
    return re.sub(r"\$\{(.+?)\}", lambda name: _NAMES.get(name[1], name[1]), text)


_Loader.add_multi_constructor("!", _value)


def template(name: str) -> Any:
    return yaml.load((_FOLDER / name).read_text(), _Loader)


def policy(file: str, resource: str) -> list[dict[str, Any]]:
    """Return the statements of a managed policy."""
    properties = template(file)["Resources"][resource]["Properties"]
    found: list[dict[str, Any]] = properties["PolicyDocument"]["Statement"]
    return found


def run_script(name: str, *arguments: str) -> dict[str, Any]:
    """Run a script with arguments, and return its names."""
    before, sys.argv = sys.argv, [name, *arguments]
    try:
        return runpy.run_path(str(_FOLDER / name))
    finally:
        sys.argv = before
