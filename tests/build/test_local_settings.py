"""The local AWS gives each function what template.yaml gives it on AWS."""

import re
from pathlib import Path
from typing import Any

import pytest

from expanded_template import deployed_from, of_type
from job_runners.building import work_parameters
from job_runners.building.app_config import Workers
from job_runners.building.worker_classes import add_worker_functions
from job_runners.fake_dynamodb.behind_moto import ACCOUNT
from job_runners.local import services
from job_runners.local.function_process import FUNCTIONS
from job_runners.local.function_settings import (
    OPEN_ROUTES,
    PARAMETERS,
    VISIBILITY_SECONDS,
    FunctionSettings,
)
from job_runners.places import ROOT

NAME, PORT = "local-tests", 4566
CHOICES: list[dict[str, str]] = [
    {},
    {"JobRunner": "legacy", "WorkerMemory": "2048"},
    {"JobRunner": "acme.runner", "WorkQueueName": "work"},
    {"JwtIssuer": "https://issuer.example", "JwtAudience": "a", "JwtRolesClaim": "groups"},
    {"WorkerTimeout": "30", "WorkerMemory": "512", "RetentionDays": "7", "LogLevel": "DEBUG"},
    {"MaxUnfinishedJobs": "5", "LogPayloads": "true", "KeepTaskPayloads": "true"},
    {"EventBusName": "bus", "OutcomeTopicArn": "arn:aws:sns:us-east-1:123456789012:ends"},
    {"WebhookSubscriptions": "true", "Traces": "true", "PublicUrl": "https://jobs.example"},
    {"TeamName": "Acme Support"},
]


CLASSES = {"large": {"memory": 4096, "timeout": 1800, "storage": 1024}, "tiny": {}}


class Resolved:
    """The template with these parameters and worker classes, and the names that the local AWS gives
    to resources."""

    def __init__(
        self, given: dict[str, str], folder: Path | None = None, workers: Workers | None = None
    ) -> None:
        self.settings = FunctionSettings(NAME, PORT, given, workers or {})
        path = ROOT / "template.yaml"
        if folder and workers:
            path = folder / "template.json"
            path.write_text(add_worker_functions((ROOT / "template.yaml").read_text(), workers))
        self.template = deployed_from(path, **given, AwsEndpointUrl=self.settings.endpoint_url)
        defaults = {n: each.get("Default") for n, each in self.template["Parameters"].items()}
        pseudo = {"AWS::StackName": NAME, "AWS::Region": "us-east-1", "AWS::AccountId": ACCOUNT}
        physical = {name: each for name, (_, each) in self.settings.resources().items()}
        aliases = {
            f"{self.logical_id(each)}Aliaslive": self.settings.arn(each)
            for each in ("api", "worker", *self.settings.class_functions)
        }
        endpoint = {"AwsEndpointUrl": self.settings.endpoint_url, "AWS::URLSuffix": "local"}
        self._values = pseudo | defaults | given | physical | aliases | endpoint

    def value(self, value: Any) -> str:
        """Return a value of the template as text."""
        match value:
            case {"Ref": str(name)}:
                return str(self._values[name])
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([\w:]+)\}", lambda found: str(self._values[found[1]]), text)
            case {"Fn::GetAtt": _}:
                return str(value)
        return str(value)

    def properties(self, function: str) -> dict[str, Any]:
        """Return what the template says of a function."""
        found: dict[str, Any] = self.template["Resources"][self.logical_id(function)]
        return dict(found["Properties"])

    def logical_id(self, function: str) -> str:
        """Return the name of a function in the template."""
        kind, _, worker_class = function.partition("-")
        return f"{worker_class.title()}{kind.title()}Function"


@pytest.mark.parametrize("given", CHOICES, ids=lambda given: ",".join(given) or "defaults")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_the_environment_the_timeout_and_the_memory_of_the_template(
    function: str, given: dict[str, str]
) -> None:
    check_function(function, Resolved(given))


@pytest.mark.parametrize("given", CHOICES[:3], ids=["lambda-async", "legacy", "own"])
@pytest.mark.parametrize("function", [*FUNCTIONS, "worker-large", "worker-tiny"])
def test_a_function_of_a_stack_with_worker_classes_has_them_too(
    function: str, given: dict[str, str], tmp_path: Path
) -> None:
    resolved = Resolved(given, tmp_path, CLASSES)
    check_function(function, resolved)
    assert resolved.settings.outputs().keys() == resolved.template["Outputs"].keys()
    for name, (kind, _) in resolved.settings.resources().items():
        assert resolved.template["Resources"][name]["Type"] == kind


def check_function(function: str, resolved: Resolved) -> None:
    properties, settings = resolved.properties(function), resolved.settings
    expected = {
        name: resolved.value(value)
        for name, value in properties["Environment"]["Variables"].items()
    }
    found = settings.environment(function)
    queues = (expected.pop("WORK_QUEUE_URL"), found.pop("WORK_QUEUE_URL"))
    assert len({each.rpartition("/")[2] for each in queues}) == 1  # on AWS, the host differs
    assert found == expected
    assert str(settings.timeout(function)) == resolved.value(properties["Timeout"])
    assert str(settings.memory(function)) == resolved.value(properties["MemorySize"])


@pytest.mark.parametrize("given", [CHOICES[0], CHOICES[3]], ids=["IAM", "tokens"])
def test_the_routes_are_those_of_the_template(given: dict[str, str]) -> None:
    resolved = Resolved(given)
    routes = {
        each["Properties"]["RouteKey"]: each["Properties"]["AuthorizationType"]
        for each in of_type(resolved.template, "AWS::ApiGatewayV2::Route").values()
    }
    assert routes == {
        **dict.fromkeys(OPEN_ROUTES, "NONE"),
        **dict([resolved.settings.protected_route()]),
    }


def test_the_outputs_and_resources_are_those_of_the_template() -> None:
    resolved = Resolved({})
    settings, template = resolved.settings, resolved.template
    assert settings.outputs().keys() == template["Outputs"].keys()
    for name, (kind, _) in settings.resources().items():
        assert template["Resources"][name]["Type"] == kind


def test_the_queues_are_those_of_the_template() -> None:
    for queue in ("DelayQueue", "FailuresQueue"):
        properties = Resolved({}).template["Resources"][queue]["Properties"]
        assert properties["VisibilityTimeout"] == VISIBILITY_SECONDS
        assert properties["RedrivePolicy"]["maxReceiveCount"] == services._MAX_RECEIVES


def test_each_parameter_that_a_run_follows_has_the_default_of_the_template() -> None:
    declared = Resolved({}).template["Parameters"]
    assert {name: str(declared[name]["Default"]) for name in PARAMETERS} == PARAMETERS
    followed = {*work_parameters._VARIABLES, *work_parameters._ONLY_FOR_STACKS}
    assert followed <= PARAMETERS.keys()
