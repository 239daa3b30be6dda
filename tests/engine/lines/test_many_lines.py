"""A queue with 100,000 keys, and one that has 300 jobs of one organisation: nobody pays for the
others."""

import os

import pytest

from backlog_world import World
from bench import Bench
from job_runners import clock
from job_runners.engine.lines import admission
from job_runners.engine.running import failure_records
from job_runners.engine.wire.messages import JobMessage
from job_runners.store import conditional_write, limits, lines, pauses, transitions
from job_runners.store.job_request import JobRequest, Status

CHAOS = bool(os.environ.get("CHAOS"))
_SCALE = 1 if CHAOS else 10  # a tenth of the rows, and a timer that takes ten times as long


def test_no_tick_looks_at_all_the_keys_that_somebody_waits_under(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = 100_000 // _SCALE
    world = World(monkeypatch, job_takes=1000, scale=_SCALE)
    looked: dict[str, int] = {}
    monkeypatch.setattr(
        admission, "admit_waiting", lambda name, key, send, **_: looked.setdefault(key, world.now)
    )
    # The table in memory has rows alone.
    monkeypatch.setattr(lines, "has_entry", lambda row: True)
    for number in range(keys):
        row = transitions.save(
            transitions.NewJob(
                job_type="sample_again",
                queue_name="many",
                organization_id="acme",
                payload=None,
                max_attempts=3,
                concurrency_key=str(number),
            )
        ).after
        place, due_at = lines.partition_key_of("many", str(number)), world.now + clock.HOUR
        row.update(
            conditional_write.hold_actions(row, place, world.now, due_at, wait_key="wait##"),
            JobRequest.status == Status.QUEUED,
        )
    in_a_tick: list[int] = []
    for _ in range(90):
        before = len(looked)
        world.at(world.now - world.began + clock.MINUTE // 2, world.die)
        world.run(world.now - world.began + clock.MINUTE)
        in_a_tick.append(len(looked) - before)
    assert in_a_tick[:59] == [0] * 59
    assert max(in_a_tick) <= 6000 // _SCALE
    assert len(looked) == keys  # within half an hour of its look
    assert world.late["rescue"] <= 2 * clock.MINUTE


def test_what_a_failure_record_admits_costs_the_same_whatever_the_number_of_keys(
    bench: Bench,
) -> None:
    """A worker was killed after it had freed its slot: its record admits who waits there."""
    requests: list[str] = []
    events = JobRequest.connection().client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: requests.append(model.name))
    asked = []
    for number in (1, 50):
        for each in range(number):
            waiting = hold(bench, f"{number} {each}")
        limits.current(fresh=True), pauses.current(fresh=True)
        requests.clear()
        event = JobMessage.about(waiting)._asdict()
        event |= {"v": 1, "kind": "job", "id": "ended and gone"}
        failure_records.handle_record({"requestPayload": event}, bench.send)
        asked.append(list(requests))
        assert bench.sent_jobs[-1] == waiting.id
    assert asked[0] == asked[1]


def hold(bench: Bench, campaign: str) -> JobRequest:
    """Have a job wait, as one does that finds no room."""
    row = bench.dispatch(queue_name="sample_campaigns", payload={"text": campaign})
    key = row.concurrency_key or ""
    place, later = lines.partition_key_of(row.queue_name, key), clock.now() + clock.DAY
    return transitions.hold_in_line(row, place, key, group="", due_at=later).after


def test_the_first_of_another_organisation_waits_for_at_most_one_round(bench: Bench) -> None:
    for _ in range(300 if CHAOS else 60):
        hold_fairly(bench, "many")
    served: list[str] = []
    for comes in ("few", "many", "many"):
        admission.admit_waiting("sample_fair", "*", bench.send)
        served.append(end_the_one_that_was_admitted(bench))
        hold_fairly(bench, comes)
    assert served == ["many", "few", "many"]


def hold_fairly(bench: Bench, organization_id: str) -> None:
    row = bench.dispatch("sample_once", queue_name="sample_fair", organization_id=organization_id)
    place, later = lines.partition_key_of("sample_fair", "*"), clock.now() + clock.DAY
    transitions.hold_in_line(row, place, "*", group=organization_id, due_at=later)


def end_the_one_that_was_admitted(bench: Bench) -> str:
    """End it as a worker that was killed before it admitted the next one; return whose it was."""
    (job_id,) = bench.sent_jobs
    bench.sent.clear()
    row = bench.read(job_id)
    transitions.expire(row, {"kind": "NeverStarted", "message": "", "traceback": ""})
    return row.organization_id
