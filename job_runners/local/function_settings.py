"""The functions' environment, timeout and memory, and the stack's routes, outputs and resources.

All of this comes from template.yaml, whose functions are resolved with the names that resources
have on the local AWS. The project's own template (own.template.yaml) is resolved in the same way,
and moto creates its resources.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import UnusableAppFolder, Workers
from job_runners.building.samconfig import OUR_STACK_NAME, SamConfig
from job_runners.building.template_file import Resolver, Unresolved, read_template
from job_runners.building.worker_classes import add_worker_functions
from job_runners.cli.stack import Stack
from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local.function_process import FUNCTIONS
from job_runners.local.options import LocalProblem
from job_runners.places import DATA

API_ID = "local"
STAGE = f"/_aws/execute-api/{API_ID}/$default"
TABLE, COORDINATION_TABLE, BUCKET = "jobs", "coordination", "bucket"
DELAY, FAILURES = "delay", "failures"
DEAD_LETTERS = {DELAY: "delay-dead-letters", FAILURES: "failures-dead-letters"}
VISIBILITY_SECONDS = 360  # of the queues DELAY and FAILURES
# The types of resources that moto can create from a template, and its classes for them.
_MODELS = {
    "AWS::DynamoDB::Table": "moto.dynamodb.models:Table",
    "AWS::Events::EventBus": "moto.events.models:EventBus",
    "AWS::S3::Bucket": "moto.s3.models:FakeBucket",
    "AWS::SNS::Topic": "moto.sns.models:Topic",
    "AWS::SQS::Queue": "moto.sqs.models:Queue",
    "AWS::SSM::Parameter": "moto.ssm.models:Parameter",
}


@dataclass(frozen=True)
class FunctionSettings:
    """The settings of one local stack and its functions."""

    name: str  # of the stack
    port: int  # on the loopback address
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the template, if set
    workers: Workers = field(default_factory=dict)  # the worker classes in app.toml

    @property
    def endpoint_url(self) -> str:
        """The URL for every AWS client."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def _template(self) -> dict[str, Any]:
        text = (DATA / "template.yaml").read_text(encoding="utf-8")
        template = read_template(add_worker_functions(text, self.workers), "template.yaml")
        return dict(template)

    @cached_property
    def _resolver(self) -> Resolver:
        values = _pseudo_parameters(self.name) | {"AwsEndpointUrl": self.endpoint_url}
        return Resolver(self._template, values | dict(self.parameters), self._attribute_of)

    @cached_property
    def _ids(self) -> dict[str, str]:
        """The physical id of each resource, and the attributes of some, by the template's names."""
        ids = {
            "HttpApi": API_ID,
            "HttpApi.ApiEndpoint": self.endpoint_url + STAGE,
            "JobsTable": TABLE,
            "CoordinationTable": COORDINATION_TABLE,
            "Bucket": BUCKET,
            "DelayQueue": self.queue_url(DELAY),
            "FailuresQueue": self.queue_url(FAILURES),
            "FailuresDeadLetterQueue": self.queue_url(DEAD_LETTERS[FAILURES]),
        }
        for name in (*FUNCTIONS, "access"):
            ids[f"{name.title()}LogGroup"] = self.log_group(name)
        for function in self.functions:
            logical_id = _logical_id(function)
            ids[logical_id] = self.physical_name(function)
            ids[f"{logical_id}.Alias"] = self.arn(function)
        return ids

    def _attribute_of(self, resource: str, attribute: str) -> str:
        name = f"{resource}.{attribute}" if attribute else resource
        if name not in self._ids:
            raise Unresolved(name)
        return self._ids[name]

    @property
    def parameter_names(self) -> set[str]:
        """The names of the template's parameters."""
        return set(self._template["Parameters"])

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of the template."""
        return str(self._resolver.values[name])

    @property
    def is_legacy(self) -> bool:
        """Whether the API function runs all jobs and tasks."""
        return self.parameter("JobRunner") == "legacy"

    @property
    def work_function(self) -> str:
        """The function that runs jobs and tasks."""
        return "api" if self.is_legacy else "worker"

    @property
    def class_functions(self) -> dict[str, str]:
        """The worker class of each class's function."""
        return {f"worker-{class_name}": class_name for class_name in self.workers}

    @property
    def functions(self) -> tuple[str, ...]:
        """All functions of the stack."""
        return (*FUNCTIONS, *self.class_functions)

    def arn(self, function: str) -> str:
        """Return the ARN of a function, or of its alias if it has one."""
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.physical_name(function)}"
        return f"{arn}:live" if function in ("api", "worker", *self.class_functions) else arn

    def physical_name(self, function: str) -> str:
        """Return the name that a function has in Lambda."""
        return f"{self.name}-{function}"

    def log_group(self, function: str) -> str:
        """Return the name of a function's log group."""
        return f"/{self.name}/{'worker' if function in self.class_functions else function}"

    def queue_url(self, name: str) -> str:
        """Return the URL of a queue."""
        return f"{self.endpoint_url}/{ACCOUNT}/{name}"

    def timeout(self, function: str) -> int:
        """Return the seconds that an invocation may take."""
        return int(self._property(function, "Timeout"))

    def memory(self, function: str) -> int:
        """Return the megabytes of a function's memory."""
        return int(self._property(function, "MemorySize"))

    def _property(self, function: str, name: str) -> Any:
        """Return a property of a function. That of all functions is the default."""
        properties = self._template["Resources"][_logical_id(function)]["Properties"]
        shared_properties = self._template["Globals"]["Function"]
        return self._resolver.resolve(properties.get(name, shared_properties.get(name)))

    def routes(self) -> dict[str, str]:
        """Return the authorization type of each route, by the route's key."""
        return {
            resource["Properties"]["RouteKey"]: resource["Properties"]["AuthorizationType"]
            for resource in self._template["Resources"].values()
            if resource["Type"] == "AWS::ApiGatewayV2::Route" and self._resolver.exists(resource)
        }

    def environment(self, function: str) -> dict[str, str]:
        """Return the environment variables that the template gives a function."""
        shared_variables = self._template["Globals"]["Function"]["Environment"]["Variables"]
        own_variables = (self._property(function, "Environment") or {}).get("Variables", {})
        variables = self._resolver.resolve(shared_variables) | own_variables
        queue = self.parameter("WorkQueueName")
        variables["WORK_QUEUE_URL"] = self.queue_url(queue) if queue else ""
        return {name: str(value) for name, value in variables.items()}

    def lambda_environment(self, function: str) -> dict[str, str]:
        """Return the variables that Lambda itself sets."""
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": self.physical_name(function),
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory(function)),
            "AWS_LAMBDA_LOG_GROUP_NAME": self.log_group(function),
        }

    def stack(self, access_key: str, secret: str, own_outputs: Mapping[str, str]) -> Stack:
        """Return the stack's addresses and names."""
        return replace(
            Stack.from_outputs(self.name, REGION, self.outputs(), self.endpoint_url),
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            own_outputs=own_outputs,
        )

    def outputs(self) -> dict[str, str]:
        """Return the template's outputs."""
        outputs = self._template["Outputs"]
        return {name: self._resolver.resolve(output["Value"]) for name, output in outputs.items()}

    def resources(self) -> dict[str, tuple[str, str]]:
        """Return the type and the physical id of the resources that the local AWS has.

        The keys are their names in the template.
        """
        return {
            name: (resource["Type"].replace("Serverless", "Lambda"), self._ids[name])
            for name, resource in self._template["Resources"].items()
            if name in self._ids
        }


def _pseudo_parameters(stack_name: str) -> dict[str, str]:
    return {
        "AWS::AccountId": ACCOUNT,
        "AWS::Region": REGION,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com",
    }


def _logical_id(function: str) -> str:
    """Return a function's name in the template, such as LargeWorkerFunction for worker-large."""
    kind, _, class_name = function.partition("-")
    return f"{class_name.title()}{kind.title()}Function"


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
        values: dict[str, str] = SamConfig(path.with_name("own.samconfig.toml")).values()
        values |= _pseudo_parameters(f"{settings.name}-app") | {OUR_STACK_NAME: settings.name}
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
