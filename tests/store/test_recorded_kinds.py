"""The kind that a row keeps of an error is the name of its class."""

from typing import Any

from api_events import call
from bench import Bench
from job_runners.errors import PauseExpired
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


def test_an_error_of_ones_own_has_its_own_kind_whatever_it_derives_from(bench: Bench) -> None:
    class MowerStuck(PauseExpired):
        """A class of an organization's own."""

    assert recorded(bench, MowerStuck(30)) == "MowerStuck"


def test_an_error_without_a_message_is_told_by_its_kind(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        raise ValueError

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.error["kind"], row.error["message"]) == ("ValueError", "ValueError")
