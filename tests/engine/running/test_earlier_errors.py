"""What a job's row keeps of the attempts that failed before its last one."""

from typing import Any

import pytest

from api_events import call
from bench import Bench
from job_runners.engine.control import caller_actions
from job_runners.store.job_request import JobRequest, Status
from sample_work import script


def fails(words: str) -> Any:
    """Return a job that fails with these words."""

    def work(job: Any, payload: object) -> None:
        raise ValueError(words)

    return work


def run(bench: Bench, row: JobRequest, *attempts: Any) -> JobRequest:
    """Run the job once for each of these, long enough after the one before."""
    for work in attempts:
        script.job = work
        bench.advance(60)
        row = bench.run(row)
    return row


def shown(row: JobRequest) -> Any:
    answer = call("GET", f"/jobs/{row.id}")
    assert answer.status == 200, answer.text
    return answer.json


def messages(row: JobRequest) -> list[tuple[int, str]]:
    return [(each["attempt"], each["message"]) for each in shown(row)["earlier_errors"]]


def test_the_errors_of_earlier_attempts_are_kept_with_their_times(bench: Bench) -> None:
    row = run(bench, bench.dispatch(), fails("the first"))
    failed_at = shown(row)["updated_at"]
    row = run(bench, row, fails("the second"), fails("the last"))
    assert (row.status, row.error["message"]) == (Status.FAILED, "the last")
    first, second = shown(row)["earlier_errors"]
    assert first == {
        "attempt": 1,
        "at": failed_at,
        "kind": "ValueError",
        "message": "the first",
        "module": None,
    }
    assert (second["attempt"], second["message"]) == (2, "the second")
    assert second["at"] > first["at"]


def test_a_job_that_succeeds_in_the_end_still_tells_why_it_took_several_attempts(
    bench: Bench,
) -> None:
    row = run(bench, bench.dispatch(), fails("a passing fault"), lambda job, payload: "done")
    assert row.status is Status.SUCCEEDED
    assert shown(row)["error"] is None
    assert messages(row) == [(1, "a passing fault")]


def test_an_attempt_whose_worker_died_is_among_them(bench: Bench) -> None:
    row = bench.claim(bench.dispatch())
    bench.advance(1000)
    bench.tick()
    [error] = shown(row)["earlier_errors"]
    assert (error["attempt"], error["kind"]) == (1, "Interrupted")


class Refused(Exception):
    """An error of this module."""


def test_each_error_names_the_module_of_its_class(bench: Bench) -> None:
    def refuses(job: Any, payload: object) -> None:
        raise Refused

    job = shown(run(bench, bench.dispatch(), refuses, refuses, refuses))
    errors = [*job["earlier_errors"], job["error"]]
    assert [(each["module"], each["kind"]) for each in errors] == [(__name__, "Refused")] * 3


def test_only_the_last_five_are_kept_and_little_of_each(bench: Bench) -> None:
    row = bench.dispatch()
    for number in range(1, 8):
        row = run(bench, row, *[fails(f"{number} {'x' * 1000}")] * 3)
        if number < 7:
            row = caller_actions.retry_again(row, bench.send)
    kept = messages(row)
    assert [(attempt, words[0]) for attempt, words in kept] == [
        *((1, "6"), (2, "6"), (3, "6")),
        *((1, "7"), (2, "7")),
    ]
    assert {(len(words), words[-2:]) for _, words in kept} == {(150, "x…")}


def test_a_manual_retry_keeps_why_the_job_had_failed(bench: Bench) -> None:
    row = run(bench, bench.dispatch("sample_once"), fails("no such column"))
    finished_at = shown(row)["finished_at"]
    row = caller_actions.retry_again(row, bench.send)
    assert row.error is None
    [error] = shown(row)["earlier_errors"]
    assert (error["attempt"], error["at"]) == (1, finished_at)
    assert (error["kind"], error["message"]) == ("ValueError", "no such column")


@pytest.mark.parametrize("listed", ["no luck", "x" * 149 + "…"])
def test_a_job_canceled_between_attempts_and_retried_tells_its_error_once(
    bench: Bench, listed: str
) -> None:
    error = listed if len(listed) < 150 else "x" * 200
    row = caller_actions.cancel(run(bench, bench.dispatch(), fails(error)))
    row = caller_actions.retry_again(row, bench.send)
    assert messages(row) == [(1, listed)]


def test_a_job_that_fails_while_it_is_canceled_and_is_retried_tells_both_errors(
    bench: Bench,
) -> None:
    def canceled_by_its_owner(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        raise ValueError("the second")

    row = run(bench, bench.dispatch(), fails("the first"), canceled_by_its_owner)
    assert row.status is Status.CANCELED
    row = caller_actions.retry_again(row, bench.send)
    assert messages(row) == [(1, "the first"), (2, "the second")]


def test_a_row_that_never_failed_has_none(bench: Bench) -> None:
    row = run(bench, bench.dispatch(), lambda job, payload: "done")
    assert "earlier_errors" not in row.attribute_values
    assert shown(row)["earlier_errors"] == []


def test_a_list_shows_none_of_it(bench: Bench) -> None:
    run(bench, bench.dispatch(), fails("no luck"))
    bench.advance(2)  # the list may lag behind
    [listed] = call("GET", "/jobs", query="organization_id=acme").json["jobs"]
    assert "earlier_errors" not in listed
    assert listed["error"] == {"kind": "ValueError", "message": "no luck"}


def test_the_error_of_a_job_that_was_stopped_in_its_first_attempt_is_kept(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        raise ValueError("as it was asked to stop")

    row = run(bench, bench.dispatch(), work)
    assert (row.status, row.error["message"]) == (Status.CANCELED, "as it was asked to stop")
    row = caller_actions.retry_again(row, bench.send)
    assert messages(row) == [(1, "as it was asked to stop")]
