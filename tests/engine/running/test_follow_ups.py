"""Follow-ups: each end of a job has exactly one of each kind, and they never prevent an end."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

import follow_up_sample
from bench import Bench
from counted_units import Units
from follow_up_sample import told
from gathering_job import Gathering
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine import configured
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import InvalidDefinition, InvalidFollowUp, RunnerCannotResend
from job_runners.store import (
    blobs,
    caller_transitions,
    follow_ups,
    limits,
    pauses,
    queries,
    transitions,
)
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status, id_for_idempotency_key
from job_runners.store.pauses import Kind
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.work import RunningJob, job_ended
from large_payloads import LARGE
from lost_answers import lose_next_answer
from outage import Outage
from sample_work import script


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample,unique_sample")
    forget()
    told.clear()
    return bench


def rows_of(job: JobRequest) -> list[JobRequest]:
    """Return the follow-ups of a job, oldest first."""
    found = [row for row in moto_direct.rows("jobs") if row.get("follow_up_of") == job.id]
    return sorted((_read(row["id"]) for row in found), key=lambda row: row.created_key)


def _read(job_id: str) -> JobRequest:
    row = queries.read(job_id)
    assert row is not None
    return row


def no_luck(job: object, payload: object) -> None:
    raise ValueError("no luck")


# --- every way to end a job -----------------------------------------------------------------------


def succeed(bench: Bench, row: JobRequest) -> None:
    bench.run(row)


def fail(bench: Bench, row: JobRequest) -> None:
    script.job = no_luck
    bench.run(row)


def stop_while_it_runs(bench: Bench, row: JobRequest) -> None:
    def canceled(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(row))
        job.checkpoint(1, durable=True)

    script.job = canceled
    bench.run(row)


def cancel(bench: Bench, row: JobRequest) -> None:
    caller_actions.cancel(row, bench.send)


def cancel_while_paused(bench: Bench, row: JobRequest) -> None:
    pauses.pause(Kind.QUEUE, row.queue_name)
    bench.run(row)
    caller_actions.cancel(bench.read(row), bench.send)
    pausing.resume(Kind.QUEUE, row.queue_name, bench.send)


def expire(bench: Bench, row: JobRequest) -> None:
    bench.advance(25 * 3600)
    bench.tick()


def rescue(bench: Bench, row: JobRequest) -> None:
    bench.claim(row)
    bench.advance(1000)
    bench.tick()


def settle_its_record(bench: Bench, row: JobRequest) -> None:
    message = JobMessage.about(row)
    transitions.claim(
        row.id,
        job_type=row.job_type,
        send_id=message.send_id,
        deadline=clock.now() + 900_000,
    )
    handle_record({"requestPayload": encode(message)}, bench.send)


def stop_at_release(bench: Bench, row: JobRequest) -> None:
    claimed = bench.claim(row)
    caller_transitions.request_cancel(bench.read(row))
    transitions.release(claimed)


BOTH = ["note_end", "note_failure"]
ENDS: dict[Callable[[Bench, JobRequest], None], tuple[Status, list[str]]] = {
    succeed: (Status.SUCCEEDED, ["note_end"]),
    fail: (Status.FAILED, BOTH),
    stop_while_it_runs: (Status.CANCELED, ["note_end"]),
    cancel: (Status.CANCELED, ["note_end"]),
    cancel_while_paused: (Status.CANCELED, ["note_end"]),
    expire: (Status.FAILED, BOTH),
    rescue: (Status.FAILED, BOTH),
    settle_its_record: (Status.FAILED, BOTH),
    stop_at_release: (Status.CANCELED, ["note_end"]),
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_each_end_has_one_follow_up_of_each_kind_that_fits(
    bench: Bench, end: Callable[[Bench, JobRequest], None]
) -> None:
    status, types = ENDS[end]
    row = bench.dispatch("followed_once")
    end(bench, row)
    ended = bench.read(row)
    assert ended.status is status
    assert sorted(each.job_type for each in rows_of(row)) == types
    bench.advance(61)
    bench.tick()
    bench.deliver()
    assert sorted(name for name, _ in told) == types
    for _, payload in told:
        assert (payload.job_id, payload.status) == (row.id, str(status))
        assert payload.finished_at.timestamp() * 1000 == ended.finished_at
        assert milliseconds(payload.started_at) == ended.started_at
        assert payload.organization_id == "acme"
        assert (payload.error is not None) == (status is Status.FAILED)
    assert all(each.status is Status.SUCCEEDED for each in rows_of(row))


def milliseconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp() * 1000


def test_a_follow_up_gets_the_error_without_its_traceback(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    fail(bench, row)
    error = {"kind": "ValueError", "message": "no luck"}
    assert "traceback" in bench.read(row).error
    assert [blobs.get(each.payload, None)["error"] for each in rows_of(row)] == [error, error]


@pytest.mark.parametrize(("fails", "message"), [(True, "too late"), (False, "no luck")])
def test_the_follow_up_of_a_stopped_job_gets_its_last_error(
    bench: Bench, fails: bool, message: str
) -> None:
    row = bench.dispatch("followed_again")
    fail(bench, row)

    def stopped(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(row))
        if fails:
            raise ValueError(message)
        job.checkpoint(1, durable=True)

    script.job = stopped
    bench.run_out()
    assert bench.read(row).status is Status.CANCELED
    ((_, payload),) = told
    assert payload.error is not None
    assert payload.error.message == bench.read(row).error["message"] == message


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELED])
def test_a_follow_up_gets_the_counts_of_the_group(bench: Bench, status: Status) -> None:
    gathering = Gathering(bench, 3, job_type="followed_once")
    gathering.fails = {1}

    def work(job: RunningJob, payload: Any) -> object:
        result = gathering.work(job, payload)
        if payload.text == "parent" and status is Status.FAILED:
            raise ValueError("no luck")
        if payload.text == "parent" and status is Status.CANCELED:
            caller_actions.cancel(bench.read(job.id))
            job.checkpoint(1, durable=True)
        return result

    script.job = work
    gathering.start()
    for number in range(3):
        gathering.run_member(number)
    bench.deliver()
    payload = told[0][1]
    assert payload.status == status
    counts = {"succeeded": 2, "failed": 1, "canceled": 0, "existing": 0}
    assert payload.group == counts | {"total": 3}


def test_what_ends_a_job_sends_its_follow_ups_at_once(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    bench.run(row)
    assert bench.sent_jobs[-1] == rows_of(row)[0].id


def test_a_retry_by_the_policy_is_no_end(bench: Bench) -> None:
    script.job = no_luck
    row = bench.dispatch("followed_again")
    assert bench.run(row).status is Status.RETRYABLE
    assert rows_of(row) == []
    bench.run_out()
    assert bench.read(row).attempt == 3
    (payload,) = [payload for name, payload in told if name == "note_failure"]
    assert payload.attempts == 3
    assert payload.error is not None
    assert (payload.error.kind, payload.error.message) == ("ValueError", "no luck")


def test_a_job_that_is_retried_manually_has_another_follow_up_when_it_ends_again(
    bench: Bench,
) -> None:
    row = bench.dispatch("followed_once")
    assert follow_ups.saved_by(row) == {}
    fail(bench, row)
    caller_actions.retry_again(bench.read(row), bench.send)
    assert follow_ups.saved_by(bench.read(row)) == {}
    script.reset()
    bench.advance(1)
    bench.deliver()
    assert follow_ups.saved_by(bench.read(row)) == {"on_end": rows_of(row)[-1].id}
    statuses = [(name, payload.status) for name, payload in told]
    assert sorted(statuses) == [
        ("note_end", "failed"),
        ("note_end", "succeeded"),
        ("note_failure", "failed"),
    ]


# --- the follow-up is an ordinary job -------------------------------------------------------------


def test_a_follow_up_has_the_queue_and_the_attempts_of_its_type(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    bench.run(row)
    (follow_up,) = rows_of(row)
    assert (follow_up.queue_name, follow_up.max_attempts) == ("notes", 5)
    assert follow_up.organization_id == "acme"
    assert follow_up.due_at is not None


def test_a_follow_up_has_none_itself(bench: Bench) -> None:
    """The type note_end names itself."""
    row = bench.dispatch("followed_once")
    bench.run(row)
    bench.deliver()
    assert [name for name, _ in told] == ["note_end"]
    assert rows_of(rows_of(row)[0]) == []


def test_a_dispatch_names_its_own(bench: Bench) -> None:
    row = bench.dispatch("sample_once", on_end="note_end")
    bench.run(row)
    other = bench.dispatch("followed_once", on_end="note_failure")
    bench.run(other)
    assert [each.job_type for each in rows_of(row)] == ["note_end"]
    assert [each.job_type for each in rows_of(other)] == ["note_failure"]


def test_a_job_that_a_follow_up_dispatches_has_its_own_follow_ups(bench: Bench) -> None:
    ended = bench.run(bench.dispatch("sample_once", on_end="dispatch_next"))
    (follow_up,) = rows_of(ended)
    bench.run(follow_up)
    found = [row["id"] for row in moto_direct.rows("jobs") if row.get("parent_id") == follow_up.id]
    (child,) = map(_read, found)
    assert child.follow_up_of is None
    assert [row.job_type for row in rows_of(bench.run(child))] == ["note_end"]


def test_a_child_has_those_of_its_type(bench: Bench) -> None:
    script.job = lambda job, payload: job.dispatch("followed_failure", {}, key="child")
    parent = bench.run(bench.dispatch("sample_once"))
    script.job = no_luck
    bench.deliver()
    (child,) = [row for row in moto_direct.rows("jobs") if row.get("parent_id") == parent.id]
    assert [each.job_type for each in rows_of(bench.read(child["id"]))] == ["note_failure"]


def test_a_running_job_names_those_of_its_children(bench: Bench) -> None:
    def dispatch_three(job: RunningJob, payload: object) -> None:
        job.dispatch("sample_once", {"number": 2}, key="one", on_end="note_end")
        others = [("two", {"number": 2}), ("three", {"number": 2})]
        job.dispatch_many("followed_once", others, on_failure="note_failure")
        with pytest.raises(InvalidFollowUp):
            job.dispatch("sample_once", {}, key="four", on_end="note_wish")

    script.job = dispatch_three
    parent = bench.run(bench.dispatch("sample_once"))
    script.job = no_luck
    bench.deliver()
    children = [row for row in moto_direct.rows("jobs") if row.get("parent_id") == parent.id]
    told_of = {
        row["job_type"]: {one.job_type for one in rows_of(bench.read(row["id"]))}
        for row in children
    }
    assert len(children) == 3
    assert told_of == {"sample_once": {"note_end"}, "followed_once": {"note_end", "note_failure"}}


def test_a_job_without_them_for_its_outcome_ends_as_ever(bench: Bench) -> None:
    row = bench.dispatch("followed_failure")
    bench.run(row)
    assert rows_of(row) == []
    assert bench.read(row).ends is None


def test_a_follow_up_is_counted_by_a_quota_and_never_refused_by_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "1")
    forget()
    row = bench.dispatch("followed_once")
    bench.run(row)
    (follow_up,) = rows_of(row)
    assert follow_up.unfinished_organization == "acme"


def test_a_follow_up_whose_type_is_gone_is_saved_anyway(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("followed_once")
    monkeypatch.delitem(registry().jobs, "note_end")
    bench.run(row)
    bench.advance(25 * 3600)
    bench.tick()
    (follow_up,) = rows_of(row)
    assert follow_up.error["kind"] == "NeverStarted"


def test_a_job_with_follow_ups_that_never_waited_is_retried_however_old_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_DAYS", "365")
    forget()
    row = caller_actions.cancel(bench.dispatch("followed_once"))
    bench.advance(201 * clock.DAY / clock.SECOND)
    assert caller_actions.retry_again(row, bench.send).status is Status.QUEUED


def test_to_delete_a_job_keeps_its_follow_ups(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    bench.run(row)
    caller_actions.delete(bench.read(row))
    bench.deliver()
    assert [name for name, _ in told] == ["note_end"]


# --- refused at dispatch, and in the build --------------------------------------------------------

REFUSED = {
    "no_such_type": "No job is named",
    "note_once": "It is unique",
    "note_wish": "payload.wish",
}


@pytest.mark.parametrize("kind", ["on_end", "on_failure"])
@pytest.mark.parametrize("job_type", REFUSED)
def test_a_follow_up_that_could_not_run_is_refused_at_dispatch(
    bench: Bench, kind: str, job_type: str
) -> None:
    with pytest.raises(InvalidFollowUp, match=REFUSED[job_type]) as refused:
        bench.dispatch("sample_once", **{kind: job_type})
    assert refused.value.problems[0]["field"] == kind
    assert moto_direct.rows("jobs") == []


def test_one_that_takes_failures_alone_is_for_those(bench: Bench) -> None:
    bench.dispatch("sample_once", on_failure="note_failed")
    with pytest.raises(InvalidFollowUp, match=r"payload\.status"):
        bench.dispatch("sample_once", on_end="note_failed")


def test_a_runner_that_cannot_send_again_has_no_follow_ups(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "sender", lambda: CANNOT_SEND)
    for kind in ("on_end", "on_failure"):
        with pytest.raises(RunnerCannotResend, match="has follow-ups"):
            bench.dispatch("sample_once", **{kind: "note_end"})


def test_a_build_refuses_a_definition_with_a_follow_up_that_could_not_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry().resolve_all()
    wrong = follow_up_sample.JOBS["followed_once"].__replace__(on_end="note_wish")
    monkeypatch.setitem(registry().jobs, "followed_once", wrong)
    with pytest.raises(InvalidDefinition, match=r"'followed_once'.*on_end.*payload.wish"):
        registry().resolve_all()


# --- faults ---------------------------------------------------------------------------------------


def test_an_end_whose_answer_is_lost_has_one(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    lose_next_answer("TransactWriteItems")
    bench.run(row)
    assert bench.read(row).status is Status.SUCCEEDED
    assert len(rows_of(row)) == 1


def test_a_job_that_was_deleted_while_its_save_was_answered_runs_again_and_has_another(
    bench: Bench,
) -> None:
    """Nothing is left of the first: its payload was deleted with it."""
    client = clients.client("dynamodb")

    def run_and_delete(**_: Any) -> None:
        client.meta.events.unregister("before-call.dynamodb.GetItem", run_and_delete)
        first = _read(id_for_idempotency_key("acme", "k"))
        bench.run(first)
        caller_actions.delete(_read(first.id))

    def see_what_is_there() -> None:
        client.meta.events.register("before-call.dynamodb.GetItem", run_and_delete)

    lose_next_answer("PutItem", see_what_is_there)
    row = bench.dispatch(payload={"text": LARGE}, idempotency_key="k", on_end="note_end")
    assert len(rows_of(row)) == 1
    assert bench.run(row).status is Status.SUCCEEDED
    assert len(rows_of(row)) == 2


@pytest.mark.parametrize("kind", Outage.KINDS)
def test_an_end_in_an_outage_has_one(bench: Bench, outage: Outage, kind: str) -> None:
    row = bench.dispatch("followed_once")
    script.job = lambda job, payload: outage.begin(kind, 60)
    bench.run(row)
    assert bench.read(row).status is Status.SUCCEEDED
    assert len(rows_of(row)) == 1


def test_another_row_with_its_id_does_not_keep_a_job_from_ending(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    other = bench.dispatch("sample_once")
    other.id = follow_ups._id_of(row, "on_end", 1)
    other.save()
    fail(bench, row)
    assert bench.read(row).status is Status.FAILED
    assert [each.job_type for each in rows_of(row)] == ["note_failure"]
    assert bench.read(other).job_type == "sample_once"


def test_a_cancel_that_read_the_row_before_another_end_saves_none_for_it(bench: Bench) -> None:
    """The row is the same again: queued, and never claimed."""
    row = bench.dispatch("followed_once")
    stale = bench.read(row)
    caller_actions.cancel(row, bench.send)
    caller_actions.retry_again(bench.read(row), bench.send)
    caller_actions.cancel(stale, bench.send)
    assert bench.read(row).status is Status.CANCELED
    assert len(rows_of(row)) == 2


@pytest.mark.parametrize("end", [cancel, expire])
def test_an_end_that_read_the_row_before_it_was_replaced_tells_the_right_one(
    bench: Bench, end: Callable[[Bench, JobRequest], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("followed_unique", payload={"lot": "a"})
    real, replaced = transitions.expire, list[JobRequest]()

    def expire_late(stale: JobRequest, error: Any) -> Change:
        if not replaced:
            replaced.append(ask())
        return real(stale, error)

    def ask() -> JobRequest:
        return bench.dispatch("followed_unique", payload={"lot": "a"}, on_end="note_failure")

    monkeypatch.setattr(transitions, "expire", expire_late)
    if end is cancel:
        stale = bench.read(row)
        ask()
        caller_actions.cancel(stale, bench.send)
    else:
        expire(bench, row)
        expire(bench, row)
    assert bench.read(row).status.finished
    assert [each.job_type for each in rows_of(row)] == ["note_failure"]


def test_a_row_whose_follow_up_only_newer_code_knows_ends_without_it(bench: Bench) -> None:
    row = bench.dispatch("followed_once")
    row.update([JobRequest.on_end.set({"of": "tomorrow"})])
    cancel(bench, bench.read(row))
    assert bench.read(row).status is Status.CANCELED
    assert rows_of(row) == []


# --- costs ----------------------------------------------------------------------------------------


def test_it_costs_a_unit_for_each_row_and_a_read_beyond_its_own(bench: Bench) -> None:
    limits.current(), pauses.current()
    units = Units()

    def life(job_type: str, **fields: Any) -> tuple[int, int]:
        row = bench.dispatch(job_type, **fields)
        bench.run_message(JobMessage.about(row))
        bench.deliver()
        spent, units.reads = (units.spent(), units.reads), 0
        return spent

    units.spent()
    units.reads = 0
    (payload,) = job_ended.samples("on_failure")
    assert life("sample_once") == life("note_failure", payload=payload) == (6, 0)
    assert life("sample_once", on_end="note_failure") == (6 + 6 + 2, 1)
    assert life("sample_once", on_failure="note_failure") == (6, 0)
