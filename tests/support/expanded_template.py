"""The template as CloudFormation gets it: SAM's own translator, run where sam is installed."""

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_EXPAND = """
import json, sys
from pathlib import Path
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from boto3 import Session

template = yaml_parse(Path(sys.argv[1]).read_text())
values = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
values |= json.loads(sys.argv[2])
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/code"
template["Globals"]["Function"].pop("CodeUri")
session = Session(region_name="us-east-1")
translator = Translator({}, Parser(), boto_session=session)
print(json.dumps(translator.translate(template, values)))
"""

Template = dict[str, Any]


@cache
def _expanded(overrides: str) -> str:
    shown = subprocess.run(
        [ROOT / ".venv-aws/bin/python", "-c", _EXPAND, ROOT / "template.yaml", overrides],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def expanded(**overrides: str) -> Template:
    """Return the expanded template, with some parameters given."""
    template: Template = json.loads(_expanded(json.dumps(overrides)))
    return template


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
    more = references(text[1]) if isinstance(text, list) else set()
    template = text[0] if isinstance(text, list) else text
    names = [part.split("}")[0] for part in template.split("${")[1:]]
    return more | {name.split(".")[0] for name in names}


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
    policies = list(properties(template, f"{function}Role")["Policies"])
    if function == "WorkerFunction":
        policies.append(properties(template, "WorkerSendsToItself"))
    for policy in policies:
        for statement in policy["PolicyDocument"]["Statement"]:
            listed = statement["Resource"]
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
            return text.replace("${Bucket.Arn}", "Bucket").replace("${JobsTable.Arn}", "JobsTable")
    return str(resource)
