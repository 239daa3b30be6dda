"""What the preconditions of writes are for: between a read and its write the world goes on.

Each test has one invocation stand still while others do something, and then go on as if nothing had
happened. What it writes then must not count.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pynamodb.exceptions import DoesNotExist

from bench import Bench
from job_rows import saved
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.lines.admission import LineAdmissions
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import due_row, timer
from job_runners.engine.wire.messages import JobMessage
from job_runners.errors import PreconditionFailed
from job_runners.store import caller_transitions, lines, pauses, transitions
from job_runners.store.conditional_write import GRACE
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status
from job_runners.store.limits import Limits
from job_runners.store.pauses import HeldEntry, Kind
from job_runners.store.transitions import Checkpoint
from job_runners.testing.plain_clients import every_row
from sample_work import script

ERROR = {"kind": "ValueError", "message": "no luck", "traceback": ""}


def before_next(operation: str, happens: Callable[[], object]) -> None:
    """Have something happen once, just before the next call of this kind reaches DynamoDB."""
    client = clients.client("dynamodb")
    event = f"before-call.dynamodb.{operation}"

    def once(**_: Any) -> None:
        client.meta.events.unregister(event, once)
        happens()

    client.meta.events.register(event, once)


def held_entries() -> list[str]:
    return [entry.job_id for entry in every_row(HeldEntry) if entry.pk.startswith("held#")]


def succeeded_counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of the jobs that are logged and counted as succeeded, as often as they are."""
    ids: list[str] = []
    succeeded = telemetry.succeeded

    def count(row: JobRequest) -> None:
        ids.append(row.id)
        succeeded(row)

    monkeypatch.setattr(telemetry, "succeeded", count)
    return ids


# --- workers that stood still ---------------------------------------------------------------------


def test_a_worker_that_was_overtaken_does_not_hold_its_successors_row(bench: Bench) -> None:
    """It thaws between its checkpoint and the pause that it reads of: another has the job then."""
    successors: list[JobRequest] = []

    def overtaken() -> None:
        bench.advance(1000)
        bench.tick()  # rescued
        bench.advance(60)
        successors.append(bench.claim(bench.read(row)))
        pausing.pause(Kind.JOB_TYPE, "sample_again")

    def work(job: Any, payload: object) -> None:
        bench.advance(11)
        before_next("Query", overtaken)  # the flags are about to be read anew
        job.checkpoint("here", progress=40)

    script.job = work
    row = bench.dispatch()
    after = bench.run(row)
    (successor,) = successors
    assert (after.status, after.claim_token) == (Status.RUNNING, successor.claim_token)
    assert not held_entries()


def test_a_worker_that_was_overtaken_in_its_claim_does_not_have_the_job(bench: Bench) -> None:
    """The claim also takes a slot, and the row is read after that."""
    row = bench.dispatch()
    grant = lines.read_line(row.queue_name, "*", Limits(slots=1)).grant("")

    def overtaken() -> None:
        bench.advance(1000)
        bench.tick()  # rescued

    before_next("GetItem", overtaken)
    with pytest.raises(PreconditionFailed):
        transitions.claim(
            row.id,
            job_type=row.job_type,
            send_id="s",
            deadline=clock.now() + 900_000,
            entrance=transitions.Entrance(row, "*", grant),
        )
    assert bench.read(row).status is Status.RETRYABLE


def test_a_worker_that_was_overtaken_does_not_count_its_successors_outcome(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = succeeded_counted(monkeypatch)

    def work(job: Any, payload: object) -> str:
        if job.attempt == 1:
            bench.advance(1000)
            bench.tick()
            bench.advance(60)
            bench.run(row)
        return f"attempt {job.attempt}"

    script.job = work
    row = bench.dispatch()
    assert bench.run(row).status is Status.SUCCEEDED
    assert counted == [row.id]


def test_a_success_whose_response_was_lost_is_counted_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = succeeded_counted(monkeypatch)
    lost: list[str] = []

    def lose(response: Any, operation: Any, **_: Any) -> int | None:
        if lost or response is None or operation.name != "UpdateItem":
            return None
        lost.append(operation.name)
        return 0

    def work(job: Any, payload: object) -> str:
        clients.client("dynamodb").meta.events.register_first("needs-retry.dynamodb", lose)
        return "done"

    script.job = work
    row = bench.run(bench.dispatch())
    assert (row.status, lost, counted) == (Status.SUCCEEDED, ["UpdateItem"], [row.id])


def test_a_message_that_outlived_its_job_does_not_start_another_job_of_its_id(
    bench: Bench,
) -> None:
    """An idempotency key that is used again after its job has expired: the id is the same, and what
    it stands for may be work of another type."""
    row = bench.run(bench.dispatch("sample_again", idempotency_key="k"))
    late = JobMessage.about(row)
    bench.advance(40 * clock.DAY / clock.SECOND)
    other = bench.dispatch("sample_once", idempotency_key="k")
    assert other.id == row.id
    script.jobs_run.clear()
    bench.sent.append((late, 0))
    bench.deliver()
    assert not script.jobs_run
    assert bench.read(other).status is Status.QUEUED


def test_a_second_message_about_a_job_that_was_claimed_a_little_early_is_not_sent_again(
    bench: Bench,
) -> None:
    def work(job: Any, payload: object) -> None:
        bench.run(row)

    script.job = work
    row = bench.dispatch(delay=1.5)
    bench.sent.clear()
    assert bench.run(row).status is Status.SUCCEEDED
    assert not bench.sent


def ends_an_invocation(bench: Bench, job: Any) -> None:
    bench.advance(880)
    job.checkpoint("here")


def fails(bench: Bench, job: Any) -> None:
    raise ValueError


@pytest.mark.parametrize("ends", [ends_an_invocation, fails])
def test_a_job_whose_owner_stops_it_in_the_last_moment_is_not_sent_again(
    bench: Bench, ends: Callable[[Bench, Any], None]
) -> None:
    """It learns of it from the write that would have let it go on."""

    def work(job: Any, payload: object) -> None:
        job.checkpoint("here")
        before_next("UpdateItem", lambda: caller_actions.cancel(bench.read(row)))
        ends(bench, job)

    script.job = work
    row = bench.dispatch()
    bench.sent.clear()
    assert bench.run(row).status is Status.CANCELED
    assert not bench.sent


# --- what is meant for one claim is not for the next ----------------------------------------------
# The bench stands still: whatever happens does so in the same millisecond, and no time tells one
# claim from the next.


def next_claim(bench: Bench, running: JobRequest) -> JobRequest:
    """Return the job runs under another claim, and all else is as it was."""
    due_at = running.due_at or 0
    transitions.retry(running, ERROR, run_at=clock.now(), due_at=due_at)
    return bench.claim(running)


def test_a_running_row_is_postponed_only_under_the_claim_it_was_read_with(still: Bench) -> None:
    seen = still.claim(still.dispatch())
    successor = next_claim(still, still.read(seen))
    assert (seen.status, seen.due_at) == (successor.status, successor.due_at)
    with pytest.raises(PreconditionFailed):
        transitions.postpone(seen, clock.now() + 5, Lane.PROMPT)
    assert still.read(seen).due_at == successor.due_at


def test_a_row_is_expired_only_under_the_claim_it_was_read_with(still: Bench) -> None:
    """A worker has had it meanwhile, and has queued it for its next invocation: it goes on."""
    seen = still.dispatch()
    running = still.claim(seen)
    transitions.end_invocation(running, Checkpoint("here", 40, None))
    now = still.read(seen)
    assert (seen.status, seen.due_at) == (now.status, now.due_at)
    with pytest.raises(PreconditionFailed):
        transitions.expire(seen, ERROR)
    assert still.read(seen).status is Status.QUEUED


def test_a_job_is_rescued_only_from_the_claim_it_was_read_with(still: Bench) -> None:
    """It has been retried and claimed since, by a worker whose lease is over too."""
    seen = still.claim(still.dispatch(), seconds=-61)
    due_at = seen.due_at or 0
    transitions.retry(still.read(seen), ERROR, run_at=clock.now(), due_at=due_at)
    successor = still.claim(seen, seconds=-61)
    assert (seen.lease_until, seen.due_at) == (successor.lease_until, successor.due_at)
    with pytest.raises(PreconditionFailed):
        transitions.fail(seen, ERROR, rescue=True)
    assert still.read(seen).claim_token == successor.claim_token


def renewed(row: JobRequest) -> None:
    transitions.renew(row, (row.lease_until or 0) + 1)


def postponed(row: JobRequest) -> None:
    transitions.postpone(row, (row.due_at or 0) + 1, Lane.PROMPT)


@pytest.mark.parametrize("happened", [renewed, postponed])
def test_a_job_whose_lease_or_look_has_moved_is_not_rescued_by_who_read_it_before(
    happened: Callable[[JobRequest], None], still: Bench
) -> None:
    """Whoever moved it goes by a later look: what was decided from the one before is void."""
    seen = still.claim(still.dispatch(), seconds=-70)
    happened(still.read(seen))
    with pytest.raises(PreconditionFailed):
        transitions.fail(seen, ERROR, rescue=True)
    assert still.read(seen).status is Status.RUNNING


def test_a_row_that_another_tick_has_postponed_is_not_postponed_again(still: Bench) -> None:
    seen = still.dispatch()
    postponed(still.read(seen))
    with pytest.raises(PreconditionFailed):
        transitions.postpone(seen, clock.now() + clock.HOUR, Lane.RESENT)


@pytest.mark.parametrize("finished", [False, True])
def test_a_row_that_runs_or_is_finished_is_not_expired(finished: bool, still: Bench) -> None:
    row = still.claim(still.dispatch())
    if finished:
        row = transitions.succeed(row, "done").after
    with pytest.raises(PreconditionFailed):
        transitions.expire(still.read(row), ERROR)


def test_a_job_that_has_ended_under_its_claim_is_not_held(still: Bench) -> None:
    seen = still.claim(still.dispatch())
    transitions.succeed(still.read(seen), "done")
    with pytest.raises(PreconditionFailed):
        held(still, seen)
    assert still.read(seen).status is Status.SUCCEEDED
    assert not held_entries()


def held(bench: Bench, row: JobRequest) -> JobRequest:
    pause = pausing.pause(Kind.JOB_TYPE, row.job_type)
    return transitions.hold(row, pause, due_at=clock.now() + clock.HOUR).after


def test_a_row_is_let_go_only_from_the_wait_it_was_read_in(still: Bench) -> None:
    """It was admitted, and held again, for which the time counts anew."""
    seen = held(still, still.dispatch())
    transitions.admit(still.read(seen))
    still.advance(30)
    held(still, still.read(seen))
    with pytest.raises(PreconditionFailed):
        transitions.admit(seen)
    assert still.read(seen).status is Status.WAITING
    assert held_entries() == [seen.id]


def test_a_row_is_let_go_only_under_the_claim_it_was_read_with(still: Bench) -> None:
    """It was admitted, claimed and held again, all in one millisecond."""
    seen = held(still, still.dispatch())
    transitions.admit(still.read(seen))
    again = held(still, still.claim(seen))
    assert (seen.status, seen.waiting_since) == (again.status, again.waiting_since)
    with pytest.raises(PreconditionFailed):
        transitions.admit(seen)
    assert still.read(seen).status is Status.WAITING


def test_a_row_that_another_pause_holds_has_waited_since_the_first_did(still: Bench) -> None:
    first = held(still, still.dispatch())
    still.advance(30)
    pause = pausing.pause(Kind.QUEUE, first.queue_name)
    second = transitions.hold(still.read(first), pause, due_at=clock.now() + clock.HOUR).after
    assert second.waiting_since == first.waiting_since


# --- who owns it has moved on too -----------------------------------------------------------------


def test_a_job_that_has_succeeded_since_it_was_read_is_not_queued_again(still: Bench) -> None:
    """Somebody else had it done again, all in one millisecond."""
    seen = transitions.fail(still.claim(still.dispatch()), ERROR).after
    again = caller_transitions.requeue(still.read(seen), max_attempts=1).after
    succeeded = transitions.succeed(still.claim(again), "done").after
    assert seen.finished_at == succeeded.finished_at
    with pytest.raises(PreconditionFailed, match="succeeded"):
        caller_transitions.requeue(seen, max_attempts=1)


def test_a_job_is_queued_again_only_from_the_end_it_was_read_with(still: Bench) -> None:
    """Who asks has not seen how it ended meanwhile."""
    seen = transitions.fail(still.claim(still.dispatch()), ERROR).after
    again = caller_transitions.requeue(still.read(seen), max_attempts=1).after
    still.advance(1)
    transitions.fail(still.claim(again), ERROR)
    with pytest.raises(PreconditionFailed, match="failed"):
        caller_transitions.requeue(seen, max_attempts=1)


def test_a_job_that_expires_while_it_is_looked_at_is_not_queued_again(still: Bench) -> None:
    """TTL may delete the row any day, in the midst of its work."""
    seen = transitions.fail(still.claim(still.dispatch()), ERROR).after
    still.advance(40 * clock.DAY / clock.SECOND)
    with pytest.raises(PreconditionFailed, match="gone"):
        caller_transitions.requeue(seen, max_attempts=1)


# --- pauses that were set again -------------------------------------------------------------------


def test_a_pause_that_is_set_again_in_the_same_millisecond_is_not_forgotten(still: Bench) -> None:
    pausing.pause(Kind.QUEUE, "default")
    ended = pauses.resume(Kind.QUEUE, "default")
    again = pauses.pause(Kind.QUEUE, "default")
    assert ended.changed_at == again.changed_at
    pauses.forget(ended)
    assert pauses.current().find(Kind.QUEUE, "default") is not None


def test_a_pause_that_has_ended_again_is_forgotten_only_when_nothing_is_left_of_that(
    still: Bench,
) -> None:
    ended = pauses.resume(Kind.QUEUE, "default")
    still.advance(1)
    pauses.pause(Kind.QUEUE, "default")
    pauses.resume(Kind.QUEUE, "default")
    pauses.forget(ended)
    assert [each.name for each in pauses.current().resuming()] == ["default"]


# --- ticks that stood still -----------------------------------------------------------------------


def test_a_job_that_a_person_has_queued_again_is_not_expired_by_a_tick_that_stood_still(
    bench: Bench,
) -> None:
    """It was too late to start it; another tick has failed it, and a person retried it manually."""
    row = bench.dispatch()
    bench.advance(25 * 3600)

    def meanwhile() -> None:
        bench.tick()
        assert bench.read(row).status is Status.FAILED
        caller_actions.retry_again(bench.read(row), bench.send)

    before_next("UpdateItem", meanwhile)
    assert bench.tick().counts == {timer.Disposition.MOVED: 1}
    assert bench.read(row).status is Status.QUEUED


def test_what_the_index_says_of_a_row_that_has_moved_on_is_not_acted_upon(bench: Bench) -> None:
    """The index follows the table, a little later."""
    bench.dispatch()
    bench.advance(61)
    entries: list[Any] = []

    def remember(parsed: dict[str, Any], **_: Any) -> None:
        if parsed["Items"] and "due_shard" in parsed["Items"][0]:
            entries.extend(parsed["Items"])

    client = clients.client("dynamodb")
    client.meta.events.register("after-call.dynamodb.Query", remember)
    assert bench.tick().counts == {timer.Disposition.SENT: 1}
    client.meta.events.unregister("after-call.dynamodb.Query", remember)
    assert len(entries) == 1

    of_due: list[bool] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        of_due.append(json.loads(params["body"]).get("IndexName") == "due")

    def lag(parsed: dict[str, Any], **_: Any) -> None:
        if of_due[-1]:
            parsed |= {"Items": [*entries], "Count": len(entries)}
            entries.clear()

    client.meta.events.register("before-call.dynamodb.Query", note)
    client.meta.events.register("after-call.dynamodb.Query", lag)
    assert bench.tick().counts == {timer.Disposition.MOVED: 1}
    assert len(bench.sent) == 1


def test_a_row_that_is_gone_when_it_is_read_has_moved_on(bench: Bench) -> None:
    """The index is read first."""
    row = bench.dispatch()
    bench.advance(61)
    before_next("GetItem", row.delete)
    assert bench.tick().counts == {timer.Disposition.MOVED: 1}


def test_a_row_that_runs_by_now_is_not_looked_at_ahead_of_its_time(bench: Bench) -> None:
    """What waits to be sent is; a look at what runs would only be a write."""
    running = bench.claim(bench.dispatch())
    now = clock.now()
    counts = due_row.process_due_row(
        running,
        bench.send,
        None,
        LineAdmissions(bench.send, until=now),
        until=now,
        early_by=clock.HOUR,
    )
    assert counts is timer.Disposition.MOVED
    assert bench.read(running).due_at == running.due_at


def test_a_row_that_is_due_before_its_time_is_looked_at_again_then(bench: Bench) -> None:
    row = saved(run_at=clock.now() + clock.HOUR)
    bench.advance(61)
    assert bench.tick().counts == {timer.Disposition.EARLY: 1}
    assert bench.read(row).due_at == row.run_at


def test_a_row_of_newer_code_is_left_for_a_worker_of_newer_code(bench: Bench) -> None:
    row = bench.dispatch()
    row.update([JobRequest.row_version.set(ROW_VERSION + 1)])
    bench.advance(61)
    assert bench.tick().counts == {timer.Disposition.UNKNOWN: 1}
    assert not bench.sent


def test_a_row_that_is_gone_is_not_made_anew_when_it_is_set_aside(bench: Bench) -> None:
    row = bench.dispatch()
    client = clients.client("dynamodb")
    unreadable = {"Key": {"id": {"S": row.id}}, "TableName": "jobs"}
    client.update_item(
        **unreadable,
        UpdateExpression="SET #s = :bogus",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":bogus": {"S": "bogus"}},
    )
    bench.advance(61)
    before_next("UpdateItem", lambda: client.delete_item(**unreadable))
    assert bench.tick().counts == {timer.Disposition.BROKEN: 1}
    with pytest.raises(DoesNotExist):
        JobRequest.get(row.id, consistent_read=True)


def test_a_row_is_set_aside_only_where_it_was_met(bench: Bench) -> None:
    row = bench.dispatch()
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        transitions.set_aside(row.id, seen_due_at=(row.due_at or 0) - GRACE, due_at=5)
    assert bench.read(row).due_at == row.due_at
