"""The kind that a row keeps of an error is the one that it had in the first release, whatever the
class is called now: people filter by it."""

from typing import Any

import pytest

from api_events import call
from bench import Bench
from job_runners.errors import JobRunnersError, JobTypeRemoved, PauseExpired, RunnerCannotResend
from sample_work import script


def recorded(bench: Bench, error: Exception) -> Any:
    """Return the kind that callers see of a job that ended with this error."""

    def work(job: Any, payload: object) -> None:
        raise error

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    answer = call("GET", f"/jobs/{row.id}")
    assert answer.status == 200, answer.text
    return answer.json["error"]["kind"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PauseExpired(30), "HeldTooLong"),
        (JobTypeRemoved("mow", 30), "TypeForgotten"),
        (RunnerCannotResend("mow", "is dispatched by a job"), "NotFullyCapable"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_renamed_error_keeps_its_kind(bench: Bench, error: JobRunnersError, kind: str) -> None:
    assert recorded(bench, error) == kind


def test_an_error_of_ones_own_has_its_own_kind_whatever_it_derives_from(bench: Bench) -> None:
    class MowerStuck(PauseExpired):
        """A class of an organisation's own."""

    assert recorded(bench, MowerStuck(30)) == "MowerStuck"


def test_an_error_without_a_message_is_told_by_its_kind(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        raise ValueError

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.error["kind"], row.error["message"]) == ("ValueError", "ValueError")
