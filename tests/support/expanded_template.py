"""The template as CloudFormation gets it: SAM's own translator, run where sam is installed."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from job_runners.places import ROOT

_EXPAND = """
import json, sys
from pathlib import Path
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from boto3 import Session

session = Session(region_name="us-east-1")
for line in sys.stdin:
    path, overrides = json.loads(line)
    template = yaml_parse(Path(path).read_text())
    values = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/code"
    template["Globals"]["Function"].pop("CodeUri")
    translator = Translator({}, Parser(), boto_session=session)
    print(json.dumps(translator.translate(template, values | overrides)), flush=True)
"""

Template = dict[str, Any]


@cache
def _translator() -> "subprocess.Popen[str]":
    """Return the process that expands templates: its imports take longer than its work."""
    return subprocess.Popen(
        [ROOT / ".venv-aws/bin/python", "-c", _EXPAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@cache
def _expanded(path: Path, overrides: str) -> str:
    process = _translator()
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps([str(path), json.loads(overrides)]), file=process.stdin, flush=True)
    shown = process.stdout.readline()
    assert shown, f"{path} can't be expanded"
    return shown


def expanded(**overrides: str) -> Template:
    """Return the expanded template, with some parameters given."""
    return expanded_from(ROOT / "template.yaml", **overrides)


def expanded_from(path: Path, **overrides: str) -> Template:
    """Return the template in another file, expanded; one of a release, say."""
    template: Template = json.loads(_expanded(path, json.dumps(overrides)))
    return template


def deployed(**overrides: str) -> Template:
    """Return the template as CloudFormation makes it: with what the conditions choose, alone."""
    return deployed_from(ROOT / "template.yaml", **overrides)


def deployed_from(path: Path, **overrides: str) -> Template:
    """Return the template in another file, as CloudFormation makes it."""
    template = expanded_from(path, **overrides)
    given = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
    given |= overrides
    true = {name: _holds(each, given) for name, each in template["Conditions"].items()}

    def chosen(value: Any) -> Any:
        match value:
            case {"Fn::If": [str(condition), yes, no]}:
                return chosen(yes if true[condition] else no)
            case dict():
                found = {name: chosen(each) for name, each in value.items()}
                return {name: each for name, each in found.items() if each != _NOTHING}
            case list():
                return [each for each in map(chosen, value) if each != _NOTHING]
        return value

    for part in ("Resources", "Outputs"):
        template[part] = {
            name: chosen(each)
            for name, each in template[part].items()
            if "Condition" not in each or true[each["Condition"]]
        }
    return template


_NOTHING = {"Ref": "AWS::NoValue"}


def _holds(condition: dict[str, Any], given: dict[str, str]) -> bool:
    match condition:
        case {"Fn::Not": [inner]}:
            return not _holds(inner, given)
        case {"Fn::And": list(all_of)}:
            return all(_holds(each, given) for each in all_of)
        case {"Fn::Equals": [{"Ref": str(name)}, str(value)]}:
            return given[name] == value
    raise NotImplementedError(condition)


def of_type(template: Template, kind: str) -> dict[str, Any]:
    """Return the resources of a type, by logical id."""
    return {name: each for name, each in template["Resources"].items() if each["Type"] == kind}


def references(value: object) -> set[str]:
    """Return the logical ids that a part of a template refers to."""
    match value:
        case {"Ref": str(name)}:
            return {name}
        case {"Fn::GetAtt": [str(name), *_]} | {"Fn::GetAtt": str(name)}:
            return {name.split(".")[0]}
        case {"Fn::Sub": text}:
            return _substituted(text)
        case dict():
            return set().union(*map(references, value.values()), set())
        case list():
            return set().union(*map(references, value), set())
    return set()


def _substituted(text: str | list[Any]) -> set[str]:
    template, own = text if isinstance(text, list) else (text, {})
    # ${!…} is no reference: what comes out is ${…}.
    names = [part.split("}")[0] for part in template.split("${")[1:] if part[0] != "!"]
    return references(own) | {name.split(".")[0] for name in names if name not in own}


def properties(template: Template, name: str) -> dict[str, Any]:
    """Return what a resource is made with."""
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def statements(template: Template) -> Iterator[dict[str, Any]]:
    """Every statement of every policy that a function has of its own."""
    for role in of_type(template, "AWS::IAM::Role").values():
        for policy in role["Properties"].get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]
    for policy in of_type(template, "AWS::IAM::Policy").values():
        yield from policy["Properties"]["PolicyDocument"]["Statement"]


def actions(statement: dict[str, Any]) -> list[str]:
    """Return the actions of a statement, which may be written as one."""
    listed = statement["Action"]
    return [listed] if isinstance(listed, str) else listed


def allowed(template: Template, function: str) -> set[tuple[str, str]]:
    """Return action and resource of every statement that the function's role has."""
    found = set()
    role = f"{function}Role"
    policies = list(properties(template, role)["Policies"])
    for apart in of_type(template, "AWS::IAM::Policy").values():
        if {"Ref": role} in apart["Properties"]["Roles"]:
            policies.append(apart["Properties"])
    for policy in policies:
        for statement in policy["PolicyDocument"]["Statement"]:
            listed = statement.get("Resource", "all but topics")  # or NotResource
            for resource in listed if isinstance(listed, list) else [listed]:
                found |= {(action, _named(resource)) for action in actions(statement)}
    return found


def _named(resource: Any) -> str:
    match resource:
        case {"Ref": str(name)}:
            return name
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return name
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(Bucket|JobsTable|CoordinationTable)\.Arn\}", r"\1", text)
    return str(resource)
