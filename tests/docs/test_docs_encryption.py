"""The steps to a KMS key of your own, compared with the template."""

import re
from typing import Any

import yaml

from job_runners.places import ROOT
from operator_files import template

PAGE = (ROOT / "docs/operate/permissions.md").read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
REPLACED = re.findall(r"^   \| .+? \| `(.+?)` \| `(.+?)` \|$", PAGE, re.MULTILINE)


class Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads a template without the values of CloudFormation's functions."""


Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


def load(text: str) -> Any:
    return yaml.load(text, Loader)


def test_the_template_encrypts_each_thing_as_the_page_says() -> None:
    parsed = load(TEMPLATE)
    resources: dict[str, dict[str, Any]] = {}
    for name, each in parsed["Resources"].items():
        resources.setdefault(each["Type"], {})[name] = each.get("Properties") or {}
    tables = resources["AWS::DynamoDB::Table"].values()
    assert all(each["SSESpecification"] == {"SSEEnabled": True} for each in tables)
    assert all(each["SqsManagedSseEnabled"] for each in resources["AWS::SQS::Queue"].values())
    assert "ServerSideEncryptionByDefault: {SSEAlgorithm: AES256}" in TEMPLATE
    assert not any("KmsKeyId" in each for each in resources["AWS::Logs::LogGroup"].values())
    assert "KmsKeyArn" not in TEMPLATE


def test_each_text_to_replace_is_in_the_template_for_each_resource() -> None:
    counts = [TEMPLATE.count(old) for old, _ in REPLACED]
    kinds = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup")
    assert counts == [len(re.findall(rf"Type: {kind}$", TEMPLATE, re.MULTILINE)) for kind in kinds]
    changed = TEMPLATE
    for old, new in REPLACED:
        changed = changed.replace(old, new)
    assert load(changed)["Resources"].keys() > {"Bucket"}


def test_the_key_hands_its_arn_to_the_parameter() -> None:
    (parameter,) = re.findall(r"^   Parameters:\n     (\w+):\n", PAGE, re.MULTILINE)
    assert template("key.yaml")["Outputs"].keys() == {parameter}
