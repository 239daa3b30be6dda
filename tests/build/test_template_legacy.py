"""JobRunner=legacy: what the template makes of the API function then, and then alone."""

from typing import Any

import pytest

from expanded_template import (
    Template,
    actions,
    allowed,
    deployed,
    expanded,
    properties,
    references,
)

FUNCTIONS = ("ApiFunction", "WorkerFunction", "TimerFunction", "FailuresFunction")
API, WORKER = {"Ref": "ApiFunctionAliaslive"}, {"Ref": "WorkerFunctionAliaslive"}
POLICY = "arn:aws:iam::123456789012:policy/ours"


@pytest.fixture(scope="module")
def legacy() -> Template:
    return deployed(JobRunner="legacy", WorkerPolicyArn=POLICY)


def variables(template: Template, function: str) -> dict[str, Any]:
    """Return what a function has in its environment."""
    found: dict[str, Any] = properties(template, function)["Environment"]["Variables"]
    return found


def test_the_api_function_may_do_what_the_worker_may_under_legacy_alone(legacy: Template) -> None:
    both = [allowed(legacy, each) for each in ("WorkerFunction", "ApiFunction")]
    assert both[0] <= both[1]
    usual = allowed(deployed(), "ApiFunction")
    assert not both[0] <= usual
    # What it may do more is the worker's, its own alias aside.
    assert {each for _, each in both[1] - usual - both[0]} == {
        *("ApiFunctionAliaslive", "ApiLogGroup"),
    }


def test_the_policy_of_your_own_work_is_the_api_functions_too_under_legacy_alone(
    legacy: Template,
) -> None:
    def has_it(template: Template) -> bool:
        attached = properties(template, "ApiFunctionRole")["ManagedPolicyArns"]
        return {"Ref": "WorkerPolicyArn"} in attached

    assert has_it(legacy)
    assert not has_it(deployed(WorkerPolicyArn=POLICY))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_told_that_the_api_function_runs_all_work(
    legacy: Template, function: str
) -> None:
    for name in ("API_RUNS_WORK", "JOBS_SYNC", "TASKS_SYNC"):
        assert variables(legacy, function)[name] == "true"
        assert variables(deployed(), function)[name] == ""


@pytest.mark.parametrize("function", ["TimerFunction", "FailuresFunction"])
def test_timer_and_failures_function_invoke_the_api_function_and_no_worker(
    legacy: Template, function: str
) -> None:
    assert variables(legacy, function)["WORKER_LAMBDA_FUNCTION_NAME"] == API
    invoked = {
        resource
        for action, resource in allowed(legacy, function)
        if action == "lambda:InvokeFunction"
    }
    assert invoked - {"TimerFunction"} == {API["Ref"]}
    assert legacy["Outputs"]["WorkerFunctionArn"]["Value"] == API
    assert deployed()["Outputs"]["WorkerFunctionArn"]["Value"] == WORKER


def test_lambda_never_retries_a_message_of_the_api_function_and_records_what_failed(
    legacy: Template,
) -> None:
    config = properties(legacy, "ApiEventInvokeConfig")
    assert (config["FunctionName"], config["Qualifier"]) == ({"Ref": "ApiFunction"}, "live")
    assert config["MaximumRetryAttempts"] == 0
    assert references(config["DestinationConfig"]["OnFailure"]) == {"FailuresQueue"}
    assert ("sqs:SendMessage", "FailuresQueue") in allowed(legacy, "ApiFunction")
    assert properties(legacy, "ApiFunction")["RecursiveLoop"] == "Allow"
    assert "ApiEventInvokeConfig" not in deployed()["Resources"]
    assert properties(deployed(), "ApiFunction")["RecursiveLoop"] == "Terminate"


def test_it_may_send_to_itself_by_its_alias(legacy: Template) -> None:
    policy = properties(legacy, "ApiSendsToItself")
    assert policy["Roles"] == [{"Ref": "ApiFunctionRole"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (actions(statement), statement["Resource"]) == (["lambda:InvokeFunction"], API)
    assert "ApiSendsToItself" not in deployed()["Resources"]


def test_the_lines_of_work_are_read_where_the_api_function_logs(legacy: Template) -> None:
    assert variables(legacy, "ApiFunction")["WORKER_LOG_GROUP_NAME"] == {"Ref": "ApiLogGroup"}
    assert ("logs:FilterLogEvents", "ApiLogGroup") in allowed(legacy, "ApiFunction")
    config = properties(legacy, "ApiFunction")["LoggingConfig"]
    assert config == properties(legacy, "WorkerFunction")["LoggingConfig"] | {
        "LogGroup": {"Ref": "ApiLogGroup"}
    }


@pytest.mark.parametrize("alarm", ["WorkerThrottlesAlarm", "WorkerRecursionAlarm"])
def test_alarms_and_dashboard_show_the_function_that_does_the_work(
    legacy: Template, alarm: str
) -> None:
    for template, function in ((legacy, "ApiFunction"), (deployed(), "WorkerFunction")):
        assert references(properties(template, alarm)["Dimensions"]) == {function}
        body, own = properties(template, "MetricsDashboardPage")["DashboardBody"]["Fn::Sub"]
        assert (own, "${WorkerFunction}" in body) == ({"Worker": {"Ref": function}}, False)


@pytest.mark.parametrize(
    ("size", "parameter", "otherwise"),
    [
        ("MemorySize", "WorkerMemory", 1024),
        ("EphemeralStorage", "WorkerEphemeralStorage", {"Size": 512}),
    ],
)
def test_work_has_the_sizes_that_were_meant_for_it(
    legacy: Template, size: str, parameter: str, otherwise: object
) -> None:
    given = properties(legacy, "ApiFunction")[size]
    assert given == properties(legacy, "WorkerFunction")[size]
    assert references(given) == {parameter}
    assert properties(deployed(), "ApiFunction")[size] == otherwise


def test_what_legacy_does_without_is_refused_before_a_deploy() -> None:
    rule = expanded()["Rules"]["LegacyDoesWithoutTheWorker"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "JobRunner"}, "legacy"]}
    refused = [each["Assert"] for each in rule["Assertions"]]
    assert refused == [
        {"Fn::Equals": [{"Ref": name}, ""]}
        for name in ("WorkerSubnetIds", "WorkQueueName", "WorkerProvisionedConcurrency")
    ]
