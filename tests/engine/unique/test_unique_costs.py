"""What work that is unique costs, counted at the boundary: write units, and consistent reads."""

import json
import subprocess
import sys
from typing import Any

import pytest

import moto_items
from bench import Bench
from counted_units import Units
from job_runners.engine.control import caller_actions
from job_runners.store import limits, pauses
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from sample_work import script

# Of a row and a record in a transaction: the record that is there, as DynamoDB bills it.
REFUSED = 4  # a canceled transaction costs as much as if it had been carried out


@pytest.fixture
def units(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Units:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return Units()


def ask(bench: Bench, job_type: str, text: str = "", **more: Any) -> JobRequest:
    return bench.dispatch(job_type, payload={"lot": "a", "text": text}, **more)


def a_life(bench: Bench, units: Units, job_type: str, **more: Any) -> tuple[int, int]:
    """Return the write units of a job from its dispatch to its end, and how often was read."""
    limits.current(), pauses.current()
    units.spent()
    units.reads = 0
    row = ask(bench, job_type, **more)
    assert bench.run(row).status is Status.SUCCEEDED
    return units.spent(), units.reads - 1  # the bench's own


def test_a_job_that_is_unique_costs_six_more_and_one_read(bench: Bench, units: Units) -> None:
    assert a_life(bench, units, "unique_return") == (6 + 6, 1)  # the row, as its end has left it


def test_the_row_of_a_job_that_is_not_unique_has_nothing_of_that_in_it(bench: Bench) -> None:
    row = moto_items.row("jobs", {"id": {"S": bench.dispatch().id}})
    assert {"unique_key", "first_run_at", "is_follower", "waiting_since", "held_by"}.isdisjoint(row)


def test_in_a_queue_with_slots_it_costs_five_more(bench: Bench, units: Units) -> None:
    limits.put("sample_slots", slots=2)
    bench.run(bench.dispatch("sample_once", queue_name="sample_slots"))  # the first of this day
    bench.advance(11)
    assert a_life(bench, units, "unique_return", queue_name="sample_slots")[0] == 6 + 6 + 5


def test_until_started_it_costs_six_more(bench: Bench, units: Units) -> None:
    assert a_life(bench, units, "unique_started")[0] == 6 + 6


def test_under_an_idempotency_key_it_costs_two_more(bench: Bench, units: Units) -> None:
    assert a_life(bench, units, "unique_return", idempotency_key="k")[0] == 6 + 6 + 2


def test_a_request_that_is_answered_with_the_job_there_is_costs_a_refusal_and_two_reads(
    bench: Bench, units: Units
) -> None:
    ask(bench, "unique_return")
    units.spent()
    units.reads = 0
    ask(bench, "unique_return")
    assert (units.spent(), units.reads) == (REFUSED, 2)
    ask(bench, "unique_return", idempotency_key="k")
    assert units.spent() == REFUSED + 2 + 2 + 2  # two checks, and the answer


def test_a_payload_that_is_replaced_costs_an_update(bench: Bench, units: Units) -> None:
    ask(bench, "unique_replace", "1")
    units.spent()
    ask(bench, "unique_replace", "2")
    assert units.spent() == 1
    units.reads = 0
    ask(bench, "unique_replace", "3", delay=60)
    assert (units.spent(), units.reads) == (3, 2)  # it moves in the due index


def test_one_that_follows_costs_so_many_more(bench: Bench, units: Units) -> None:
    asked: list[JobRequest] = []

    def meanwhile(job: Any, payload: object) -> None:
        script.job = lambda job, payload: None
        units.spent()
        asked.append(ask(bench, "unique_follow", "2"))
        assert units.spent() == 2 * 2 + 2  # its row and the record in a transaction; two indexes

    script.job = meanwhile
    bench.run(ask(bench, "unique_follow", "1"))
    refused = 2 * 2  # the end of a job that nobody follows
    assert (
        units.spent() == refused + 2 * 3 + 1 + 2
    )  # two rows, the record; one leaves due, one moves
    bench.run(asked[0])
    assert units.spent() == 1 + 2 * 2 + 1


def test_one_that_follows_and_is_canceled_has_no_entry_to_delete(
    bench: Bench, units: Units
) -> None:
    bench.claim(ask(bench, "unique_follow", "1"))
    follows = ask(bench, "unique_follow", "2")
    written: list[int] = []

    def count(params: dict[str, Any], **_: Any) -> None:
        written.append(len(json.loads(params["body"])["TransactItems"]))

    events = JobRequest.connection().client.meta.events
    events.register("before-call.dynamodb.TransactWriteItems", count)
    caller_actions.cancel(follows)
    assert written == [2]  # its row and the record


def test_a_look_at_one_that_follows_costs_its_row_alone(bench: Bench, units: Units) -> None:
    bench.claim(ask(bench, "unique_follow", "1"), seconds=3000)
    ask(bench, "unique_follow", "2")
    bench.advance(300)
    bench.tick()  # the first is looked at for once, too
    units.spent()
    bench.advance(400)
    bench.tick()
    assert units.spent() == 3  # it moves in the due index


def test_a_start_imports_no_more_of_it_than_its_rules() -> None:
    code = (
        "import sys, job_runners.engine.dispatch.dispatch\n"
        "from job_runners.handlers import api, timer, worker\n"
        "unique = ('uniqueness', 'unique_work', 'replacing', 'store.answers')\n"
        "print([name for name in sys.modules if name.endswith(unique)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
