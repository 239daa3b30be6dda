"""The local AWS has the settings of template.yaml, as SAM and CloudFormation expand them."""

import re
from typing import Any

import pytest

from expanded_template import deployed_from
from job_runners.building import samconfig
from job_runners.building.worker_classes import add_worker_functions
from job_runners.local import services
from job_runners.local.function_settings import VISIBILITY_SECONDS, FunctionSettings
from job_runners.places import ROOT

NAME, PORT = "local-tests", 4566
CLASSES = {"large": {"memory": 4096, "timeout": 1800, "storage": 1024}, "tiny": {}}
TEMPLATE = ROOT / "template.yaml"


def properties(name: str, given: dict[str, str], folder: Any) -> dict[str, Any]:
    """Return the properties of a function that CloudFormation would get, with names as text."""
    path = folder / "template.json"
    path.write_text(add_worker_functions(TEMPLATE.read_text(), CLASSES))
    expanded = deployed_from(path, **given, AwsEndpointUrl=f"http://127.0.0.1:{PORT}")
    return dict(expanded["Resources"][name]["Properties"])


@pytest.mark.parametrize(
    "given",
    [{}, {"JobRunner": "legacy"}, {"JwtIssuer": "https://issuer.example", "JwtAudience": "a"}],
    ids=["defaults", "legacy", "tokens"],
)
@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("api", "ApiFunction"),
        ("worker", "WorkerFunction"),
        ("timer", "TimerFunction"),
        ("failures", "FailuresFunction"),
        ("worker-large", "LargeWorkerFunction"),
        ("worker-tiny", "TinyWorkerFunction"),
    ],
)
def test_a_function_has_the_settings_that_sam_gives_it(
    function: str, name: str, given: dict[str, str], tmp_path: Any
) -> None:
    settings = FunctionSettings(NAME, PORT, given, CLASSES)
    expanded = properties(name, given, tmp_path)
    variables = expanded["Environment"]["Variables"]
    found = settings.environment(function)
    assert found.keys() == variables.keys()
    literal = {key: value for key, value in variables.items() if isinstance(value, str)}
    assert {key: found[key] for key in literal} == literal
    for key, value in variables.items():  # a parameter has its default or what was given
        if key not in literal and value.get("Ref") in given:
            assert found[key] == given[value["Ref"]]
    if isinstance(expanded["Timeout"], int):
        assert settings.timeout(function) == expanded["Timeout"]
    if isinstance(expanded["MemorySize"], int):
        assert settings.memory(function) == expanded["MemorySize"]


def test_values_are_those_of_the_local_aws() -> None:
    settings = FunctionSettings(NAME, PORT, {"WorkerTimeout": "30", "WorkQueueName": "work"})
    variables = settings.environment("timer")
    worker = "arn:aws:lambda:us-east-1:123456789012:function:local-tests-worker:live"
    expected = {
        "JOBS_TABLE_NAME": "jobs",
        "WORKER_LAMBDA_FUNCTION_NAME": worker,
        "DELAY_QUEUE_URL": "http://127.0.0.1:4566/123456789012/delay",
        "WORK_QUEUE_URL": "http://127.0.0.1:4566/123456789012/work",
        "PUBLIC_URL": "http://127.0.0.1:4566/_aws/execute-api/local/$default",
        "APP_SETTINGS_PATH": "/local-tests/app",
        "RETENTION_DAYS": "30",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    }
    assert expected.items() <= variables.items()
    assert (settings.timeout("worker"), settings.memory("worker")) == (30, 1024)
    outputs = settings.outputs()
    assert outputs["WorkerFunctionArn"] == worker
    assert outputs["AccessLogGroupName"] == "/local-tests/access"
    declared = TEMPLATE.read_text().partition("\nOutputs:\n")[2]
    assert set(outputs) == set(re.findall(r"^  (\w+):$", declared, re.MULTILINE))
    assert settings.resources()["TimerFunction"] == ("AWS::Lambda::Function", "local-tests-timer")


def test_only_one_route_is_protected() -> None:
    routes = FunctionSettings(NAME, PORT).routes()
    tokens = {"JwtIssuer": "https://issuer.example", "JwtAudience": "a"}
    assert routes.pop("ANY /{proxy+}") == "AWS_IAM"
    assert FunctionSettings(NAME, PORT, tokens).routes() == {**routes, "$default": "JWT"}
    assert set(routes.values()) == {"NONE"}


def test_the_queues_are_those_of_the_template() -> None:
    template = deployed_from(TEMPLATE)["Resources"]
    for queue in ("DelayQueue", "FailuresQueue"):
        properties = template[queue]["Properties"]
        assert properties["VisibilityTimeout"] == VISIBILITY_SECONDS
        assert properties["RedrivePolicy"]["maxReceiveCount"] == services._MAX_RECEIVES


def test_a_run_follows_only_parameters_of_the_template() -> None:
    followed = {*samconfig._VARIABLES, *samconfig._ONLY_FOR_STACKS}
    assert followed <= FunctionSettings(NAME, PORT).parameter_names
