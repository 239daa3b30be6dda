"""The promises of template.yaml about calls, retries, queues and alarms that only AWS keeps."""

import re
from typing import Any

import pytest

from expanded_template import (
    Template,
    actions,
    deployed,
    expanded,
    of_type,
    properties,
    references,
)
from job_runners.places import ROOT

SENDERS = ("ApiFunction", "TimerFunction", "FailuresFunction")
LINKS_OF_A_CHAIN = ("WorkerFunction", "TimerFunction", "FailuresFunction")
FUNCTION = "AWS::Lambda::Function"
ALIAS = {"Ref": "WorkerFunctionAliaslive"}


@pytest.fixture(scope="module")
def template() -> Template:
    """Expand the template as it is deployed when nothing is said."""
    return expanded()


# --- what CloudFormation and sam local need ---------------------------------------------------


def test_the_api_is_the_first_resource_for_sam_local() -> None:
    text = (ROOT / "template.yaml").read_text()
    resources = text[text.index("\nResources:") :]
    first = re.search(r"^  (\w+):", resources, re.MULTILINE)
    assert first is not None
    assert first[1] == "HttpApi"


@pytest.mark.parametrize("issuer", ["", "https://issuer.example"])
def test_no_resource_refers_back_to_itself(issuer: str) -> None:
    resources = expanded(JwtIssuer=issuer)["Resources"]
    waiting = {
        name: {*references(each), *_depends_on(each)} & resources.keys()
        for name, each in resources.items()
    }
    while free := {name for name, needs in waiting.items() if not needs}:
        waiting = {name: needs - free for name, needs in waiting.items() if name not in free}
    assert waiting == {}


def _depends_on(resource: dict[str, Any]) -> list[str]:
    named = resource.get("DependsOn", [])
    return [named] if isinstance(named, str) else named


def test_every_reference_names_something(template: Template) -> None:
    known = {*template["Resources"], *template["Parameters"]}
    used = references(template["Resources"]) | references(template["Outputs"])
    assert {name for name in used if not name.startswith("AWS::")} <= known


# --- who may call -----------------------------------------------------------------------------


def test_callers_sign_with_iam_unless_an_issuer_is_given(template: Template) -> None:
    routes = of_type(template, "AWS::ApiGatewayV2::Route")
    shown = {
        name: (each.get("Condition"), each["Properties"]["AuthorizationType"])
        for name, each in routes.items()
    }
    assert shown == {
        "IamRoute": ("UseIam", "AWS_IAM"),
        "JwtRoute": ("UseJwt", "JWT"),
        "HealthRoute": (None, "NONE"),
        "PageRoute": (None, "NONE"),
        "AssetsRoute": (None, "NONE"),
        "QuestionRoute": (None, "NONE"),
        "AnswerRoute": (None, "NONE"),
    }
    open_routes = [
        each["Properties"]["RouteKey"]
        for each in routes.values()
        if each["Properties"]["AuthorizationType"] == "NONE"
    ]
    answers = ["GET /answers/{token}", "POST /answers/{token}"]
    assert open_routes == ["GET /health", "GET /", "GET /assets/{proxy+}", *answers]
    assert template["Conditions"]["UseIam"] == {"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}
    assert template["Conditions"]["UseJwt"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}]
    }


def test_a_deploy_can_switch_between_iam_and_tokens(template: Template) -> None:
    """CloudFormation creates the new route before it deletes the old one."""
    routes = of_type(template, "AWS::ApiGatewayV2::Route").values()
    keys = [each["Properties"]["RouteKey"] for each in routes]
    assert len(set(keys)) == len(keys)


def test_the_api_reads_its_access_mode_from_the_same_condition(template: Template) -> None:
    environment = properties(template, "ApiFunction")["Environment"]["Variables"]
    assert environment["ACCESS_MODE"] == {"Fn::If": ["UseJwt", "jwt", "iam"]}


def test_the_api_keeps_access_logs_without_paths_whose_ids_are_data(template: Template) -> None:
    logged = properties(template, "HttpApiStage")["AccessLogSettings"]["Format"]
    assert "$context.routeKey" in logged
    assert "$context.path" not in logged


def test_the_stage_is_throttled_and_lower_on_every_route_that_is_open(template: Template) -> None:
    stage = template["Resources"]["HttpApiStage"]
    rate, burst = _throttle(stage["Properties"]["DefaultRouteSettings"], template)
    open_routes = {
        name: each["Properties"]["RouteKey"]
        for name, each in of_type(template, "AWS::ApiGatewayV2::Route").items()
        if each["Properties"]["AuthorizationType"] == "NONE"
    }
    lower = stage["Properties"]["RouteSettings"]
    assert lower.keys() == set(open_routes.values())
    for each in lower.values():
        open_rate, open_burst = _throttle(each, template)
        assert 0 < open_rate < rate
        assert 0 < open_burst < burst
    # API Gateway refuses settings of a route that is not there yet.
    assert open_routes.keys() <= set(stage["DependsOn"])


def _throttle(settings: dict[str, Any], template: Template) -> tuple[int, int]:
    """Return the rate and burst that hold when no parameter is given."""
    rate, burst = (
        _number(settings[f"Throttling{each}Limit"], template) for each in ("Rate", "Burst")
    )
    return rate, burst


def _number(setting: int | dict[str, str], template: Template) -> int:
    if isinstance(setting, int):
        return setting
    parameter = template["Parameters"][setting["Ref"]]
    assert parameter["MinValue"] == 1  # 0 would refuse every request
    number: int = parameter["Default"]
    return number


# --- one authority retries --------------------------------------------------------------------


def test_lambda_never_retries_the_worker_and_records_what_failed(template: Template) -> None:
    (config,) = (
        each["Properties"]
        for each in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
        if each["Properties"]["FunctionName"] == {"Ref": "WorkerFunction"}
    )
    assert config["Qualifier"] == "live"
    assert config["MaximumRetryAttempts"] == 0
    destination = config["DestinationConfig"]["OnFailure"]["Destination"]
    assert references(destination) == {"FailuresQueue"}


def test_the_worker_may_write_to_its_destination(template: Template) -> None:
    allowed = properties(template, "WorkerFunctionRole")["Policies"]
    queues = [
        references(statement["Resource"])
        for policy in allowed
        for statement in policy["PolicyDocument"]["Statement"]
        if "sqs:SendMessage" in actions(statement)
    ]
    assert {"FailuresQueue"} in queues


@pytest.mark.parametrize("name", SENDERS)
def test_every_sender_is_given_the_alias_and_may_invoke_only_it(name: str) -> None:
    template = deployed()
    environment = properties(template, name)["Environment"]["Variables"]
    assert environment["WORKER_LAMBDA_FUNCTION_NAME"] == ALIAS
    invoked = [
        statement["Resource"]
        for policy in properties(template, f"{name}Role")["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "lambda:InvokeFunction" in actions(statement)
    ]
    assert invoked == [ALIAS]


def test_the_worker_may_invoke_its_own_alias(template: Template) -> None:
    policy = properties(template, "WorkerSendsToItself")
    assert policy["Roles"] == [{"Ref": "WorkerFunctionRole"}]
    assert [each["Resource"] for each in policy["PolicyDocument"]["Statement"]] == [ALIAS]


@pytest.mark.parametrize("name", LINKS_OF_A_CHAIN)
def test_lambda_does_not_cut_a_chain_of_invocations(template: Template, name: str) -> None:
    assert properties(template, name)["RecursiveLoop"] == "Allow"


# --- queues -----------------------------------------------------------------------------------


def test_a_queue_hides_a_message_for_six_times_its_readers_timeout(template: Template) -> None:
    sources = of_type(template, "AWS::Lambda::EventSourceMapping")
    del sources["WorkQueueSource"]  # of an organisation's queue, if there is one
    assert len(sources) == 2
    for source in sources.values():
        (queue,) = references(source["Properties"]["EventSourceArn"])
        (function,) = references(source["Properties"]["FunctionName"])
        visibility = properties(template, queue)["VisibilityTimeout"]
        assert visibility >= 6 * properties(template, function)["Timeout"]
        assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("queue", ["FailuresQueue", "DelayQueue"])
def test_a_message_outlives_hours_in_which_its_reader_can_not_start(
    template: Template, queue: str
) -> None:
    """Each try of Lambda's counts as a receive, whether or not the function could start."""
    own = properties(template, queue)
    receives = own["RedrivePolicy"]["maxReceiveCount"]
    assert receives * own["VisibilityTimeout"] >= 10 * 60 * 60


@pytest.mark.parametrize("queue", ["FailuresQueue", "DelayQueue"])
def test_what_a_reader_can_not_take_is_kept_apart_and_alarms(
    template: Template, queue: str
) -> None:
    redrive = properties(template, queue)["RedrivePolicy"]["deadLetterTargetArn"]
    (dead_letters,) = references(redrive)
    watched = references(list(of_type(template, "AWS::CloudWatch::Alarm").values()))
    assert dead_letters in watched


def test_every_queue_is_encrypted_and_keeps_its_messages_for_two_weeks(
    template: Template,
) -> None:
    for queue in of_type(template, "AWS::SQS::Queue").values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600


# --- functions and alarms ---------------------------------------------------------------------


def test_every_function_runs_what_was_built_and_keeps_its_log() -> None:
    template = deployed()
    functions = of_type(template, FUNCTION)
    assert functions.keys() == {*SENDERS, "WorkerFunction"}
    for function in functions.values():
        assert function["Properties"]["Architectures"] == [{"Ref": "Architecture"}]
        assert function["Properties"]["Runtime"] == {"Ref": "PythonRuntime"}
        (log_group,) = references(function["Properties"]["LoggingConfig"])
        assert properties(template, log_group)["RetentionInDays"] > 0


def test_concurrency_is_reserved_only_when_asked_for(template: Template) -> None:
    reserved = properties(template, "WorkerFunction")["ReservedConcurrentExecutions"]
    assert reserved["Fn::If"][0] == "ReserveConcurrency"
    assert reserved["Fn::If"][2] == {"Ref": "AWS::NoValue"}


def test_a_timer_that_stops_running_alarms(template: Template) -> None:
    alarm = properties(template, "TimerSilentAlarm")
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == (
        "SampleCount",
        "LessThanThreshold",
    )
    assert alarm["TreatMissingData"] == "breaching"


@pytest.mark.parametrize("name", ["TimerSilentAlarm", "TimerLateAlarm"])
def test_the_alarms_watch_the_metric_that_a_tick_emits(template: Template, name: str) -> None:
    """tests/engine/telemetry/test_observed.py holds the tick to its name and its dimension."""
    alarm = properties(template, name)
    assert (alarm["Namespace"], alarm["MetricName"]) == ("JobRunners", "TimerLag")
    (dimension,) = alarm["Dimensions"]
    assert dimension["Name"] == "service"
    variables = properties(template, "TimerFunction")["Environment"]["Variables"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == dimension["Value"]


def test_the_timer_runs_every_minute(template: Template) -> None:
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    assert references(rule["Properties"]["Targets"]) == {"TimerFunction"}


def test_an_issuer_without_an_audience_is_refused_before_the_deploy(template: Template) -> None:
    rule = template["Rules"]["TokensNameAnAudience"]
    (assertion,) = rule["Assertions"]
    assert references(rule["RuleCondition"]) == {"JwtIssuer"}
    assert references(assertion["Assert"]) == {"JwtAudience"}
