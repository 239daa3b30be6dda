"""The log lines, metrics and alarms of docs/operate/observing.md, compared with the real ones."""

import io
import re
from typing import Any

import pytest

import job_runners.handlers.timer
from bench import Bench
from expanded_template import deployed, of_type
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch.dispatch import accept_task
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import execution
from job_runners.engine.schedules import schedules
from job_runners.engine.telemetry import telemetry
from job_runners.places import ROOT
from job_runners.store.line_items import LineItem
from job_runners.testing.aws import forget
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import full_client
from job_runners.work import context
from job_runners.work.definitions import Job
from job_runners.work.recurring import Recurring
from operator_files import template
from sample_work import script
from shown_code import blocks, module
from telemetry_lines import SECRET, emitted, emitted_series, logged, on_lambda

PAGE = (ROOT / "docs/operate/observing.md").read_text()

__all__ = ["on_lambda"]  # a fixture


def first_column(heading: str) -> set[str]:
    """Return the names in the first column of the table under this heading."""
    rows = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_lines_of_a_job_and_of_its_libraries_carry_the_fields_of_the_page(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks(PAGE)
    shown = module("shown", code, monkeypatch)
    shown.JOBS = {"ring": Job(shown.ring)}
    for variable, value in {"JOBS_PACKAGES": "shown", "LOG_PAYLOADS": "true"}.items():
        monkeypatch.setenv(variable, value)
    forget()
    token = context.request_id.set("request-1")
    row = bench.dispatch("ring", payload={"cell": "+1212", "token": SECRET})
    context.request_id.reset(token)
    bench.run(row)
    said = next(line for line in logged(lines) if line["message"] == "no answer")
    assert first_column("field") - said.keys() == {
        *("task_id", "task_name", "stream"),
        "worker",  # tests/runners/test_class_routing.py has a line with it
    }
    assert SECRET not in lines.getvalue()


@pytest.mark.usefixtures("on_lambda")
def test_every_metric_is_on_the_page_and_no_other(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(job: Any, payload: object) -> None:
        raise ValueError("no luck")

    bench.run(bench.dispatch())
    script.job = fail
    bench.run(bench.dispatch())
    bench.run(bench.dispatch("sample_once"))
    script.task = lambda payload: fail(None, payload)
    task = accept_task("sample_note", {})
    execution.run(task, deadline=clock.now() + 900_000, send=bench.send)
    caller_actions.cancel(bench.dispatch())
    bench.claim(bench.dispatch(), seconds=10)
    bench.advance(120)
    job_runners.handlers.timer.tick(Context(), bench.send)
    let_occurrences_be_started_skipped_and_failed(bench)
    telemetry.entry_quarantined(LineItem("line#narrow#*", "wait##0"), ValueError("unreadable"))
    telemetry.oldest_wait(1)
    telemetry.oldest_in_line(1)
    telemetry.left_for_later(ValueError("not loaded"))
    counted = {name for _, values in emitted(capsys) for name in values}
    of_a_row = {metric for metric, _ in job_runners.handlers.timer._METRICS_AND_FIELDS.values()}
    assert counted | of_a_row == first_column("metric")
    assert counted & of_a_row


def let_occurrences_be_started_skipped_and_failed(bench: Bench) -> None:
    for name in ("sample_once", "sample_again"):
        hourly = Recurring(name, every=3600, organization_id="acme", missed="skip")
        schedules.put("acme", name, hourly)
    jobs: Any = registry().jobs
    again = jobs.pop("sample_again")
    to_the_hour = (clock.HOUR - clock.now() % clock.HOUR) / clock.SECOND
    for seconds in (to_the_hour, 3600, 400):
        bench.advance(seconds)
        job_runners.handlers.timer.tick(Context(), bench.send)
    jobs["sample_again"] = again


def test_every_alarm_is_on_the_page_and_no_other() -> None:
    template = deployed(WorkerCanary="Canary10Percent5Minutes")
    assert first_column("alarm") == of_type(template, "AWS::CloudWatch::Alarm").keys()


def test_the_pager_gets_the_alarms_that_can_not_wait() -> None:
    file = template("alarms.yaml")
    names = file["Resources"]["Pager"]["Properties"]["FilterPolicy"]["AlarmName"]
    paged = [each["prefix"].removeprefix("acme-words-") for each in names]
    urgent = re.findall(r"^\| `(\w+)` \|.*\| \*\*now\*\* \|$", PAGE, re.MULTILINE)
    assert paged == urgent
    assert set(paged) <= of_type(deployed(), "AWS::CloudWatch::Alarm").keys()
    assert not any(
        "AlarmName" in each for each in properties_of_alarms()
    )  # so CloudFormation names them
    (name,) = file["Outputs"]
    assert name in deployed()["Parameters"]


def properties_of_alarms() -> list[dict[str, Any]]:
    return [each["Properties"] for each in of_type(deployed(), "AWS::CloudWatch::Alarm").values()]


def test_an_alarm_of_your_own_watches_a_metric_that_is_written(
    on_lambda: None, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    section = PAGE.partition("### An alarm of your own")[2].partition("\n#")[0]
    for name in re.findall(r"MetricName: (\w+)", section):
        assert name in first_column("metric")
    dimensions = re.findall(r"\{Name: (\w+),", section)
    script.job = lambda job, payload: 1 / 0
    bench.run(bench.dispatch("sample_once"))
    assert (frozenset(dimensions), "Failed") in emitted_series(capsys)


def test_the_alarm_of_a_nightly_job_counts_its_successes_only(
    on_lambda: None, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    properties = template("alarms.yaml")["Resources"]["NoNightlyReport"]["Properties"]
    properties["AlarmActions"] = ["arn:aws:sns:::x"]
    full_client("cloudwatch").put_metric_alarm(**properties)
    counted, filled = properties["Metrics"]
    assert filled["Expression"] == f"FILL({counted['Id']}, 0)"
    seconds = counted["MetricStat"]["Period"] * properties["EvaluationPeriods"]
    assert 25 * 3600 <= seconds <= 7 * 24 * 3600  # more than a day needs periods of an hour
    assert counted["MetricStat"]["Period"] >= 3600
    metric = counted["MetricStat"]["Metric"]
    series = (frozenset(each["Name"] for each in metric["Dimensions"]), metric["MetricName"])
    bench.run(bench.dispatch("sample_once"))
    assert series in emitted_series(capsys)
    script.job = lambda job, payload: 1 / 0
    bench.run(bench.dispatch("sample_once"))
    bench.advance(3600)
    job_runners.handlers.timer.tick(Context(), bench.send)
    assert series not in emitted_series(capsys)
