"""The alarms and the CloudWatch dashboard: what they watch is there, under that very name."""

import json
import re
from typing import Any

import pytest

import job_runners.handlers.timer
from bench import Bench
from expanded_template import Template, deployed, of_type, properties, references
from job_runners.engine.control import caller_actions
from job_runners.engine.telemetry import telemetry
from job_runners.testing.lambda_context import Context
from sample_work import script
from telemetry_lines import emitted_series

Series = tuple[str, frozenset[str], str]  # namespace, names of the dimensions, metric

# What AWS counts by itself, from its documentation.
OF_AWS: dict[tuple[str, str], set[str]] = {
    ("AWS/ApiGateway", "ApiId"): {"Count", "4xx", "5xx", "Latency", "IntegrationLatency"},
    ("AWS/Lambda", "FunctionName"): {
        *("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"),
        *("AsyncEventAge", "AsyncEventsReceived", "RecursiveInvocationsDropped"),
    },
    ("AWS/SQS", "QueueName"): {
        *("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"),
        *("ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"),
    },
}
OF_A_VERSION = frozenset({"FunctionName", "Resource", "ExecutedVersion"})
SEARCHED = re.compile(r"SEARCH\('\{JobRunners,([\w,]+)\} service=\"STACK\" MetricName=(.+?)'")


@pytest.fixture(scope="module")
def template() -> Template:
    """Return what is deployed with a canary, which has all alarms."""
    return deployed(WorkerCanary="Canary10Percent5Minutes")


@pytest.fixture
def counted(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> set[Series]:
    """Return what the code counts while jobs and tasks end in each way that there is."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    # A function has its environment before it imports this.
    monkeypatch.setattr(job_runners.handlers.timer.metrics.provider, "service", "job-runners")

    def fail(*_: object) -> None:
        raise ValueError("no luck")

    def work(job: Any, payload: object) -> None:
        for name in ("sample_note", "sample_note_again"):
            job.dispatch_task(name, {})

    script.job = work
    for task in (lambda payload: None, fail):
        script.task = task
        bench.run(bench.dispatch())
        bench.deliver()
    script.job = fail
    for job_type in ("sample_once", "sample_again"):
        bench.run(bench.dispatch(job_type))
    caller_actions.cancel(bench.dispatch())
    bench.claim(bench.dispatch(), seconds=10)
    bench.advance(120)
    job_runners.handlers.timer.tick(Context(), bench.send)
    telemetry.oldest_wait(1)
    telemetry.oldest_in_line(1)
    telemetry.left_for_later(ValueError("not loaded"))
    return {("JobRunners", dimensions, name) for dimensions, name in emitted_series(capsys)}


def watched_by_alarms(template: Template) -> dict[str, Series]:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    return {
        name: (
            each["Properties"]["Namespace"],
            frozenset(dimension["Name"] for dimension in each["Properties"]["Dimensions"]),
            each["Properties"]["MetricName"],
        )
        for name, each in alarms.items()
    }


def widgets() -> list[dict[str, Any]]:
    """Return the parts of the dashboard, as CloudWatch gets them."""
    (page,) = of_type(deployed(), "AWS::CloudWatch::Dashboard").values()
    text, own = page["Properties"]["DashboardBody"]["Fn::Sub"]
    text = text.replace("${AWS::StackName}", "STACK").replace("${Worker}", own["Worker"]["Ref"])
    shown = re.sub(r"\$\{(?!!)([\w.:]+)\}", lambda found: found[1], text).replace("${!", "${")
    found: list[dict[str, Any]] = json.loads(shown)["widgets"]
    return found


def shown_by_dashboard() -> set[Series]:
    found = set()
    for widget in widgets():
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], dict):
                found |= _searched(metric[0]["expression"])
            else:
                namespace, name, *dimensions = [each for each in metric if isinstance(each, str)]
                found.add((namespace, frozenset(dimensions[::2]), name))
    return found


def _searched(expression: str) -> set[Series]:
    """Return what an expression searches; all of it must be understood."""
    searches = SEARCHED.findall(expression)
    assert len(searches) == expression.count("SEARCH(") == 1, expression
    ((dimensions, names),) = searches
    return {
        ("JobRunners", frozenset(dimensions.split(",")), name)
        for name in re.findall(r"\"(\w+)\"", names)
    }


def known(series: Series, counted: set[Series]) -> bool:
    """Return whether there is such a metric."""
    namespace, dimensions, name = series
    if namespace == "JobRunners":
        return series in counted
    if dimensions == OF_A_VERSION:
        dimensions = frozenset({"FunctionName"})
    (dimension,) = dimensions
    return name in OF_AWS.get((namespace, dimension), set())


# --- names ------------------------------------------------------------------------------------


def test_every_alarm_watches_a_metric_that_exists(template: Template, counted: set[Series]) -> None:
    unknown = {
        name: series
        for name, series in watched_by_alarms(template).items()
        if not known(series, counted)
    }
    assert unknown == {}


def test_the_dashboard_shows_metrics_that_exist_and_all_that_the_code_counts(
    counted: set[Series],
) -> None:
    shown = shown_by_dashboard()
    assert {each for each in shown if not known(each, counted)} == set()
    # How the timer went through its rows is for its log.
    main = {each for each in counted if not re.match("Timer(?!Lag|SendFail|Unclaimed)", each[2])}
    assert main <= shown


def test_the_dashboard_names_the_stacks_own_resources_and_region() -> None:
    (page,) = of_type(deployed(), "AWS::CloudWatch::Dashboard").values()
    assert references(page["Properties"]["DashboardName"]) == {"AWS::StackName", "AWS::Region"}
    named = references(page["Properties"]["DashboardBody"])
    assert {"HttpApi", "WorkerFunction", "DelayQueue", "FailuresQueue"} <= named
    for widget in widgets():
        assert widget["properties"]["region"] == "AWS::Region"


def test_the_parts_of_the_dashboard_do_not_overlap() -> None:
    covered: set[tuple[int, int]] = set()
    for widget in widgets():
        columns = range(widget["x"], widget["x"] + widget["width"])
        rows = range(widget["y"], widget["y"] + widget["height"])
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & covered
        assert max(columns) < 24
        covered |= cells


def test_a_stack_may_do_without_the_dashboard() -> None:
    assert not of_type(deployed(MetricsDashboard="false"), "AWS::CloudWatch::Dashboard")


# --- what is watched --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "resource"),
    [
        ("5xx", "HttpApi"),
        ("Latency", "HttpApi"),
        ("Throttles", "WorkerFunction"),
        ("RecursiveInvocationsDropped", "WorkerFunction"),
        ("RecursiveInvocationsDropped", "TimerFunction"),
        ("RecursiveInvocationsDropped", "FailuresFunction"),
        ("Errors", "TimerFunction"),
        ("TasksFailed", "AWS::StackName"),
        ("NewFailures", "AWS::StackName"),
        ("LeftForLater", "AWS::StackName"),
        ("TimerLag", "AWS::StackName"),
        ("ApproximateNumberOfMessagesVisible", "FailuresDeadLetterQueue"),
        ("ApproximateNumberOfMessagesVisible", "DelayDeadLetterQueue"),
    ],
)
def test_an_alarm_watches(metric: str, resource: str, template: Template) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    watching = [
        each["Properties"]
        for each in alarms
        if each["Properties"]["MetricName"] == metric
        and resource in references(each["Properties"]["Dimensions"])
    ]
    assert watching
    for alarm in watching:
        assert len(alarm["AlarmDescription"]) > 20
        assert "AlarmActions" not in alarm  # as no topic is given


def test_every_alarm_tells_the_topic_that_is_given() -> None:
    for alarm in of_type(deployed(AlarmTopicArn="arn:topic"), "AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmTopicArn"}]


def test_the_api_is_slow_well_before_its_timeout(template: Template) -> None:
    alarm = properties(template, "ApiSlowAlarm")
    timeout = properties(template, "ApiFunction")["Timeout"] * 1000
    assert alarm["ExtendedStatistic"] == "p99"
    assert 0.5 * timeout < alarm["Threshold"] < 0.8 * timeout
