"""Create the resources of the app's own template (own.template.yaml) on the local AWS.

moto can create some types of resources. The template's outputs are resolved, because some are
parameters of our template.
"""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.samconfig import OUR_STACK_NAME, SamConfig
from job_runners.building.template_file import Resolver, Unresolved, read_template
from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local.function_settings import FunctionSettings
from job_runners.local.options import LocalProblem

# The types of resources that moto can create from a template, and its classes for them.
_MODELS = {
    "AWS::DynamoDB::Table": "moto.dynamodb.models:Table",
    "AWS::Events::EventBus": "moto.events.models:EventBus",
    "AWS::S3::Bucket": "moto.s3.models:FakeBucket",
    "AWS::SNS::Topic": "moto.sns.models:Topic",
    "AWS::SQS::Queue": "moto.sqs.models:Queue",
    "AWS::SSM::Parameter": "moto.ssm.models:Parameter",
}
# The types that don't count as missing. Most are permissions, which the local AWS doesn't check.
_IGNORED_TYPES = re.compile(r"AWS::IAM::|.*(Policy|Permission)$|AWS::Logs::LogGroup$")


class AppTemplate:
    """The app's own template, with its resources on the local AWS.

    `missing` has the names and the types of the resources that the local AWS doesn't have.
    """

    def __init__(self, path: Path, settings: FunctionSettings) -> None:
        """Create the resources. Raises LocalProblem if the template can't be read."""
        try:
            self._template = read_template(path.read_text(), path)
            self._resources: dict[str, Any] = dict(self._template["Resources"])
        except (UnusableAppFolder, TypeError, KeyError, ValueError) as error:
            raise LocalProblem(f"{path} can't be read as a template: {error}") from None
        values = SamConfig(path.with_name("own.samconfig.toml")).values() | {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::StackName": f"{settings.name}-app",
            "AWS::URLSuffix": "amazonaws.com",
            OUR_STACK_NAME: settings.name,
        }
        self._resolver = Resolver(self._template, values, self._attribute_of)
        self._settings = settings
        self._models: dict[str, Any] = {}  # moto's objects, by the names of the resources
        self.missing: list[str] = []
        for name, resource in self._resources.items():
            try:
                if self._resolver.exists(resource):
                    self._create(name)
            except Unresolved as error:
                if not _IGNORED_TYPES.match(resource["Type"]):
                    self.missing.append(f"{name} ({error})")

    def add_outputs(self) -> FunctionSettings:
        """Return the settings, with outputs as parameters of our template.

        Parameters that samconfig.toml sets don't change.
        """
        names = self._settings.parameter_names
        outputs = {name: value for name, value in self.outputs().items() if name in names}
        return replace(self._settings, parameters=outputs | dict(self._settings.parameters))

    def outputs(self) -> dict[str, str]:
        """Return the outputs that exist and can be resolved."""
        values = {}
        for name, output in (self._template.get("Outputs") or {}).items():
            try:
                if self._resolver.exists(output):
                    values[name] = str(self._resolver.resolve(output["Value"]))
            except Unresolved:
                continue
        return values

    def _create(self, name: str) -> Any:
        """Create a resource and those that it refers to, unless they exist. Return moto's object.

        Raises Unresolved.
        """
        if name not in self._models:
            resource = self._resources.get(name, {"Type": name})
            kind = resource["Type"]
            if kind not in _MODELS:
                raise Unresolved(kind)
            properties = self._resolver.resolve(resource.get("Properties") or {})
            module, _, class_name = _MODELS[kind].partition(":")
            model = getattr(import_module(module), class_name)
            physical_name = properties.get(model.cloudformation_name_type())
            physical_name = physical_name or f"{self._settings.name}-app-{name}"
            if kind == "AWS::S3::Bucket":
                physical_name = physical_name.lower()
            self._models[name] = model.create_from_cloudformation_json(
                physical_name, {"Properties": properties}, ACCOUNT, REGION
            )
        return self._models[name]

    def _attribute_of(self, name: str, attribute: str) -> Any:
        model = self._create(name)
        if not attribute:
            if self._resources[name]["Type"] == "AWS::SQS::Queue":
                return self._settings.queue_url(model.name)
            return getattr(model, "physical_resource_id", None) or model.name
        if attribute in ("QueueName", "TopicName", "Name"):
            return model.name
        if attribute == "Arn":
            for moto_name in ("arn", "queue_arn", "table_arn"):
                if value := getattr(model, moto_name, None):
                    return value
        raise Unresolved(f"{name}.{attribute}")
