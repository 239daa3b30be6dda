"""Create the plain resources of the project's own template, and resolve its outputs."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.app_stack import OUR_STACK_NAME, override_values
from job_runners.building.template_file import read_template
from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local.function_settings import PARAMETERS, FunctionSettings
from job_runners.local.problem import LocalProblem

# moto's classes of resources that it can create from a template.
_CLASSES = {
    "AWS::DynamoDB::Table": "moto.dynamodb.models:Table",
    "AWS::Events::EventBus": "moto.events.models:EventBus",
    "AWS::S3::Bucket": "moto.s3.models:FakeBucket",
    "AWS::SNS::Topic": "moto.sns.models:Topic",
    "AWS::SQS::Queue": "moto.sqs.models:Queue",
    "AWS::SSM::Parameter": "moto.ssm.models:Parameter",
}
# Permissions, which nothing on the local AWS checks.
_UNCHECKED = re.compile(r"AWS::IAM::|.*(Policy|Permission)$|AWS::Logs::LogGroup$")
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}


class _Unresolved(Exception):
    """A value that the local AWS doesn't have. The text is a part of the template."""


class OwnTemplate:
    """The project's own template, with the resources that exist on the local AWS."""

    def __init__(self, path: Path, settings: FunctionSettings) -> None:
        """Create the resources. Raises LocalProblem if the template can't be read."""
        try:
            self._template = read_template(path.read_text(), path)
            self._resources: dict[str, Any] = dict(self._template["Resources"])
        except (UnusableAppFolder, TypeError, KeyError, ValueError) as error:
            raise LocalProblem(f"{path} can't be read as a template: {error}") from None
        config = path.with_name("own.samconfig.toml")
        given = override_values(tomllib.loads(config.read_text())) if config.exists() else {}
        declared = self._template.get("Parameters") or {}
        defaults = {name: each.get("Default") for name, each in declared.items()}
        self._values = _PSEUDO | defaults | given | {OUR_STACK_NAME: settings.name}
        self._values["AWS::StackName"] = f"{settings.name}-app"
        self._settings = settings
        self._created: dict[str, Any] = {}
        self.missing: list[str] = []
        """The resources that the local AWS doesn't have, with their types."""
        for name, each in self._resources.items():
            try:
                self._resource(name)
            except _Unresolved as part:
                if not _UNCHECKED.match(each["Type"]):
                    self.missing.append(f"{name} ({part})")

    def hand_over(self) -> FunctionSettings:
        """Return the settings with the outputs that are parameters of our template, and that
        samconfig.toml doesn't set."""
        outputs = {name: value for name, value in self.outputs().items() if name in PARAMETERS}
        return replace(self._settings, given=outputs | dict(self._settings.given))

    def outputs(self) -> dict[str, str]:
        """Return the outputs that can be resolved."""
        found = {}
        for name, each in (self._template.get("Outputs") or {}).items():
            try:
                found[name] = str(self._resolved(each["Value"]))
            except _Unresolved:
                continue
        return found

    def _resource(self, name: str) -> Any:
        """Return moto's resource. Create it, and those that it refers to, if they don't exist."""
        if name not in self._created:
            each = self._resources.get(name, {"Type": name})
            if each["Type"] not in _CLASSES:
                raise _Unresolved(each["Type"])
            if "Condition" in each:
                raise _Unresolved(f"condition {each['Condition']}, which isn't evaluated here")
            properties = self._resolved(each.get("Properties") or {})
            module, _, kind = _CLASSES[each["Type"]].partition(":")
            model = getattr(import_module(module), kind)
            physical = properties.get(model.cloudformation_name_type())
            text = physical or f"{self._settings.name}-app-{name}"
            if each["Type"] == "AWS::S3::Bucket":
                text = text.lower()
            self._created[name] = model.create_from_cloudformation_json(
                text, {"Properties": properties}, ACCOUNT, REGION
            )
        return self._created[name]

    def _resolved(self, value: Any) -> Any:
        """Return a value of the template without functions. Raises _Unresolved."""
        match value:
            case {"Ref": str(name)}:
                return self._reference(name)
            case dict() if len(value) == 1 and next(iter(value)).startswith("Fn::"):
                return self._called(value)
            case dict():
                pairs = ((name, self._resolved(each)) for name, each in value.items())
                return {name: each for name, each in pairs if each is not None}
            case list():
                return [found for each in value if (found := self._resolved(each)) is not None]
        return value

    def _called(self, function: Any) -> Any:
        match function:
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self._attribute(name, attribute)
            case {"Fn::Sub": str(text)}:
                return self._substituted(text, {})
            case {"Fn::Sub": [str(text), dict(more)]}:
                return self._substituted(text, self._resolved(more))
            case {"Fn::Join": [str(between), parts]}:
                return between.join(str(each) for each in self._resolved(parts))
        raise _Unresolved(next(iter(function)))

    def _reference(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        found = self._resource(name)
        if self._resources[name]["Type"] == "AWS::SQS::Queue":
            return self._settings.queue_url(found.name)
        return getattr(found, "physical_resource_id", None) or found.name

    def _attribute(self, name: str, attribute: str) -> Any:
        found = self._resource(name)
        if attribute in ("QueueName", "TopicName", "Name"):
            return found.name
        for each in ("arn", "queue_arn", "table_arn") if attribute == "Arn" else ():
            if value := getattr(found, each, None):
                return value
        raise _Unresolved(f"{name}.{attribute}")

    def _substituted(self, text: str, more: Mapping[str, Any]) -> str:
        def replaced(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            if name in more:
                return str(more[name])
            return str(self._attribute(name, attribute) if attribute else self._reference(name))

        return re.sub(r"\$\{([^!}]+)\}", replaced, text).replace("${!", "${")
