"""What the API shows of a job's log, and what it leaves out."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from api_events import Answer, call
from api_rows import claimed, saved
from job_runners import clock
from job_runners.api import job_logs
from job_runners.aws import clients
from job_runners.settings import forget
from job_runners.store.job_request import JobRequest
from worker_log import make_worker_log, put_line

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def group(monkeypatch: pytest.MonkeyPatch, aws: None) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    make_worker_log(monkeypatch)


def logged(row: JobRequest, message: str, after: float = 0, **fields: Any) -> None:
    """Log a line of the worker about a job, so many seconds after its creation."""
    line = {
        "level": "INFO",
        "message": message,
        "service": "stack",
        "job_id": row.id,
        "organization_id": row.organization_id,
        "attempt": 1,
        "invocation": 1,
        **fields,
    }
    put_line(json.dumps(line), row.created_at + int(after * 1000))


def logs(row: JobRequest, **parts: Any) -> Answer:
    return call("GET", f"/jobs/{row.id}/logs", **parts)


def messages(row: JobRequest) -> list[str]:
    answer = logs(row)
    assert answer.status == 200, answer.text
    return [line["message"] for line in answer.json["lines"]]


@pytest.mark.parametrize("depth", [900, 3_000, 9_000, 50_000])
def test_a_line_with_many_nested_brackets_hides_no_other(depth: int) -> None:
    """A job may print text that its users wrote."""
    row = claimed()
    put_line(f'{{"job_id": "{row.id}", "a": {"[" * depth}{"]" * depth}}}', row.created_at)
    put_line(f'{{"job_id": "{row.id}", "a": {"[" * depth}', row.created_at)
    logged(row, "well")
    assert "well" in messages(row)


@pytest.mark.parametrize("time", ["0001-01-01 00:00:00,000+2359", "9999-12-31 23:59:59,000-2359"])
def test_a_line_with_an_impossible_time_hides_no_other(time: str) -> None:
    row = claimed()
    logged(row, "odd", timestamp=time)
    logged(row, "well", after=1)
    assert messages(row) == ["odd", "well"]


def test_metrics_that_name_a_job_are_no_line_of_it() -> None:
    """Work prints them unchanged, so that another job could forge lines of this one."""
    row = claimed()
    logged(row, "forged", _aws={"CloudWatchMetrics": []})
    logged(row, "its own")
    assert messages(row) == ["its own"]


def test_a_job_shows_its_own_lines_in_order_of_time() -> None:
    row, other = claimed(), claimed()
    logged(row, "the second", after=2, level="ERROR", exception="Traceback", rows=17)
    logged(row, "the first", after=1)
    logged(other, f"about {row.id}", after=1)
    put_line(f"START {row.id}", row.created_at)
    answer = logs(row).json
    assert [line["message"] for line in answer["lines"]] == ["the first", "the second"]
    assert answer["complete"] is True
    line = answer["lines"][1]
    assert (line["level"], line["exception"], line["more"]) == (
        "ERROR",
        "Traceback",
        {"rows": "17"},
    )
    assert (line["attempt"], line["invocation"]) == (1, 1)
    assert line["time"] == clock.iso(row.created_at + 2000)


def test_the_time_of_a_line_is_when_the_worker_said_it() -> None:
    row = claimed()
    logged(row, "said", after=3, timestamp="2026-11-24 13:00:00,250+0100")
    assert logs(row).json["lines"][0]["time"] == "2026-11-24T12:00:00.250Z"


def test_a_line_of_another_organisation_under_the_same_id_is_not_shown() -> None:
    row = claimed()
    logged(row, "theirs", organization_id="theirs")
    assert messages(row) == []


def test_which_service_dispatched_a_job_is_not_shown() -> None:
    row = claimed()
    logged(row, "accepted", caller="arn:aws:iam::123456789012:role/s3cret", role="service", n=1)
    assert logs(row).json["lines"][0]["more"] == {"n": "1"}


def test_lines_before_the_job_was_created_are_another_ones() -> None:
    row = claimed()
    logged(row, "an earlier job of this id", after=-3600)
    assert messages(row) == []


def test_of_too_many_lines_the_latest_invocations_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = claimed()
    row.update([JobRequest.invocations.set(2), JobRequest.started_at.set(row.created_at + 100_000)])
    for number in range(5):
        logged(row, f"old {number}", after=number)
    logged(row, "new", after=101)
    assert messages(row)[::5] == ["old 0", "new"]
    monkeypatch.setattr(job_logs, "MAX_LINES", 3)
    answer = logs(row).json
    assert [line["message"] for line in answer["lines"]] == ["new"]
    assert answer["complete"] is False


def test_a_search_that_takes_too_long_shows_what_it_has_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = claimed()
    monkeypatch.setattr(job_logs, "_MAX_SECONDS", -1.0)
    assert logs(row).json == {"lines": [], "complete": False}


def test_what_is_long_is_cut() -> None:
    row = claimed()
    logged(row, "x" * 100_000)
    [line] = logs(row).json["lines"]
    assert len(line["message"]) == 4000


def test_a_stack_that_is_not_told_where_its_worker_logs_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = saved()
    monkeypatch.delenv("WORKER_LOG_GROUP_NAME")
    forget()
    answer = logs(row)
    assert (answer.status, answer.json["type"]) == (404, "urn:job-runners:logs-not-readable")
    assert "job-runners logs" in answer.json["detail"]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 404, "logs-not-readable"),
        ("ResourceNotFoundException", 404, "logs-not-readable"),
        ("ThrottlingException", 503, "unavailable"),
    ],
)
def test_what_cloudwatch_refuses_is_told_apart(
    code: str, status: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = saved()

    def refuse(**_: Any) -> Any:
        error = {"Error": {"Code": code, "Message": "arn:aws:logs:s3cret"}}
        raise ClientError(error, "FilterLogEvents")  # type: ignore[arg-type]

    monkeypatch.setattr(clients.client("logs"), "filter_log_events", refuse)
    answer = logs(row)
    assert (answer.status, answer.json["type"]) == (status, f"urn:job-runners:{kind}")
    assert "s3cret" not in answer.text
