"""A pause whose rows, entries and readers are in one another's way: nothing is lost or kept."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import TransactWriteError

from bench import Bench
from job_rows import make_unreadable
from job_runners import caches, clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.errors import TooManyPaused
from job_runners.engine.lines import pausing
from job_runners.engine.running import failure_records, gates
from job_runners.engine.tick import due_row, timer
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.errors import SendFailed
from job_runners.store import pauses, queries, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind, Pause, State
from outage import Outage
from sample_work import script

DOWN = ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")


def held(bench: Bench, queue: str = "a", count: int = 1) -> list[JobRequest]:
    """Return jobs held by a pause of this queue."""
    pausing.pause(Kind.QUEUE, queue)
    return [bench.run(bench.dispatch(queue_name=queue)) for _ in range(count)]


def by_another_process(queue: str, state: State) -> None:
    """Change a pause, and do not let this process hear of it."""
    Pause(sk=f"queue#{queue}", state=state, changed_at=clock.now()).save()


def entries(queue: str = "a") -> list[Any]:
    return list(pauses.held_entries(Pause(sk=f"queue#{queue}"), 100))


def test_a_row_that_can_not_be_read_holds_up_neither_its_pause_nor_what_is_due(
    bench: Bench,
) -> None:
    unreadable, other = held(bench, count=2)
    make_unreadable(unreadable)
    lost = bench.dispatch()
    pauses.resume(Kind.QUEUE, "a")
    bench.advance(120)
    bench.tick()
    assert sorted(bench.sent_jobs) == sorted([other.id, lost.id])


def test_a_pause_that_was_not_looked_at_is_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timer, "_MAX_ROWS", 3)
    rows = [*held(bench, "a", 3), *held(bench, "b", 3)]
    for queue in "ab":
        pauses.resume(Kind.QUEUE, queue)
    for _ in range(4):
        bench.advance(300)
        bench.tick()
    assert set(bench.sent_jobs) >= {row.id for row in rows}
    assert not entries("a") + entries("b")


def test_a_pause_that_is_set_again_meanwhile_is_not_forgotten(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "a")
    pauses.resume(Kind.QUEUE, "a")
    bench.advance(600)
    pauses.current(fresh=True)
    by_another_process("a", State.PAUSED)
    due = bench.dispatch()
    bench.advance(5)
    due.update([JobRequest.due_at.set(clock.now())])
    bench.tick()
    assert pauses.current(fresh=True).find(Kind.QUEUE, "a")
    assert bench.sent_jobs == [due.id]


def test_a_pause_that_is_set_again_keeps_what_it_has_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = held(bench, count=5)
    pauses.resume(Kind.QUEUE, "a")
    admit = transitions.admit

    def admit_and_pause(row: JobRequest) -> Change:
        by_another_process("a", State.PAUSED)
        bench.advance(11)
        return admit(row)

    monkeypatch.setattr(transitions, "admit", admit_and_pause)
    assert pausing.admit_held(bench.send, until=clock.now() + 60_000, limit=100) == 1
    assert len(entries()) == 4
    monkeypatch.undo()
    caches.forget_all()
    pausing.resume(Kind.QUEUE, "a", bench.send)
    assert sorted(bench.sent_jobs) == sorted(row.id for row in rows)


def test_a_job_held_while_its_pause_ends_is_admitted_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker stands still between its look at the pause and the write."""
    pausing.pause(Kind.QUEUE, "a")
    hold = transitions.hold

    def hold_late(row: JobRequest, pause: Pause, **more: Any) -> Change:
        pausing.resume(Kind.QUEUE, "a", bench.send)
        return hold(row, pause, **more)

    monkeypatch.setattr(transitions, "hold", hold_late)
    row = bench.run(bench.dispatch(queue_name="a"))
    assert row.status is Status.WAITING
    bench.advance(60)
    bench.tick()
    assert bench.sent_jobs == [row.id]


def test_a_worker_that_has_not_heard_of_the_resume_starts_what_it_is_sent(bench: Bench) -> None:
    rows = held(bench, count=3)
    pauses.current(fresh=True)
    by_another_process("a", State.RESUMING)
    for row in rows:
        transitions.admit(bench.read(row))
        assert bench.run(row).status is Status.SUCCEEDED


def test_a_job_that_is_held_again_keeps_its_new_entry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass reads a row that was canceled, and meanwhile that is retried and held again.

    Its entry was left, as after a table was restored.
    """
    (row,) = held(bench)
    (entry,) = pauses.held_entries(next(pauses.current().paused()), 1)
    caller_actions.cancel(row)
    entry.save()
    pauses.resume(Kind.QUEUE, "a")
    drop = pauses.drop

    def drop_late(entry: Any) -> None:
        by_another_process("a", State.PAUSED)
        caches.forget_all()
        bench.advance(1)
        bench.run(caller_actions.retry_again(bench.read(row), bench.send))
        drop(entry)

    monkeypatch.setattr(pauses, "drop", drop_late)
    pausing.admit_held(bench.send, until=clock.now() + 60_000, limit=100)
    assert bench.read(row).status is Status.WAITING
    assert len(entries()) == 1


def test_letting_go_leaves_half_of_a_tick_to_what_is_due_and_says_how_late_that_is(
    bench: Bench,
) -> None:
    held(bench, count=30)
    pauses.resume(Kind.QUEUE, "a")
    late = bench.dispatch()
    bench.advance(600)

    def slowly(message: Any, delay: float = 0) -> None:
        bench.advance(3)
        bench.send(message, delay)

    tick = timer.tick(slowly, until=clock.now() + 55_000)
    assert tick.counts[timer.Disposition.ADMITTED] > 5
    assert late.id in bench.sent_jobs
    assert tick.lag > 500_000


def test_looks_at_what_is_held_grow_rare(bench: Bench) -> None:
    (row,) = held(bench)
    looks = 0
    for _ in range(29 * 6):
        bench.advance(4 * 3600)
        looks += bench.tick().counts[timer.Disposition.HELD]
    assert bench.read(row).status is Status.WAITING
    assert 29 < looks < 40


def test_a_pause_that_can_not_be_read_at_a_checkpoint_stops_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: Any, payload: object) -> str:
        monkeypatch.setattr(Pause, "query", lambda *a, **k: (_ for _ in ()).throw(DOWN))
        bench.advance(11)
        job.checkpoint("here", progress=40)
        return "done"

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED


def test_a_running_job_that_can_not_be_held_goes_on_in_its_next_invocation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DOWN

    def work(job: Any, payload: object) -> None:
        pausing.pause(Kind.QUEUE, "default")
        monkeypatch.setattr(transitions, "hold", fail)
        bench.advance(11)
        job.checkpoint("here", progress=40)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, row.cursor) == (Status.QUEUED, "here")


def test_a_failure_of_aws_is_not_the_rows_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [bench.dispatch(delay=1000) for _ in range(5)]
    bench.advance(1001)
    reads: list[str] = []

    def down(job_id: str) -> None:
        reads.append(job_id)
        raise DOWN

    with monkeypatch.context() as patched:
        patched.setattr(due_row, "read", down)
        bench.tick()
    assert len(reads) == 3  # after three in a row the rest can wait
    bench.tick()
    assert len(bench.sent_jobs) == len(rows)


def test_a_claim_without_an_answer_that_has_ended_since_is_not_repeated_under_a_pause(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of another delivery was taken for this claim's, and a pause began after it."""
    row = bench.dispatch("sample_again")
    message = JobMessage.about(row)

    def settle(seconds: float) -> None:
        bench.advance(seconds)
        outage.end()
        failure_records.handle_record({"requestPayload": encode(message)}, bench.send)
        bench.advance(60)
        pausing.pause(Kind.JOB_TYPE, "sample_again")

    monkeypatch.setattr(clock, "sleep", settle)
    outage.begin("unheard", only="UpdateItem")
    bench.run_message(message)
    assert bench.read(row).status is Status.WAITING
    assert script.jobs_run == []


def test_a_lost_response_of_a_transaction_is_no_loss(bench: Bench) -> None:
    """The client repeats it under the same token, and DynamoDB answers as the first time."""
    tokens: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.TransactWriteItems",
        lambda params, **_: tokens.append(params["body"].decode()),
    )
    held(bench, count=2)
    assert len(tokens) == 2
    assert all("ClientRequestToken" in token for token in tokens)


def test_no_more_can_be_paused_than_every_worker_can_read(bench: Bench) -> None:
    for number in range(100):
        pausing.pause(Kind.QUEUE, f"queue {number}")
    pausing.pause(Kind.QUEUE, "queue 7")  # is paused already
    with pytest.raises(TooManyPaused):
        pausing.pause(Kind.QUEUE, "one more")


# --- several pauses that have ended ---------------------------------------------------------------


@pytest.fixture
def ended(bench: Bench) -> list[str]:
    """Return the ids of a job that each of two pauses has held, both of which have ended."""
    rows = [*held(bench, "a"), *held(bench, "b")]
    for queue in ("a", "b"):
        pauses.resume(Kind.QUEUE, queue)
    return [row.id for row in rows]


@pytest.mark.parametrize("bounds", [{"seconds": 0}, {"most": 0}, {"most": 1}])
def test_once_no_more_may_be_let_go_no_further_pause_is_read(
    bench: Bench, ended: list[str], bounds: dict[str, int]
) -> None:
    pauses.current()
    queries: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.Query", lambda **_: queries.append("Query")
    )
    most, until = bounds.get("most", 25), clock.now() + bounds.get("seconds", 60) * clock.SECOND
    admitted = pausing.admit_held(bench.send, until=until, limit=most)
    assert bench.sent_jobs == ended[:admitted]
    assert len(queries) == admitted == bounds.get("most", 0)


def test_a_pause_that_can_not_be_dealt_with_keeps_no_other_waiting(
    bench: Bench, ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held_entries = pauses.held_entries

    def broken(paused: Pause, most: int) -> Any:
        if paused.name == "a":
            raise DOWN
        return held_entries(paused, most)

    monkeypatch.setattr(pauses, "held_entries", broken)
    assert pausing.admit_held(bench.send, until=clock.now() + clock.MINUTE, limit=25) == 1
    assert bench.sent_jobs == ended[1:]


def test_a_worker_that_can_not_be_reached_is_tried_once_whatever_the_number_of_pauses(
    bench: Bench, ended: list[str]
) -> None:
    tried: list[str] = []

    def unreachable(message: Any, delay: float = 0) -> None:
        tried.append(message.id)
        raise SendFailed("it", "throttled")

    assert pausing.admit_held(unreachable, until=clock.now() + clock.MINUTE, limit=25) == 0
    assert tried == ended[:1]


# --- one of several that a pause has held -------------------------------------------------------


def canceled_by_another(row: JobRequest) -> None:
    caller_actions.cancel(row)


def gone(row: JobRequest) -> None:
    row.delete()


def of_another_type(row: JobRequest) -> None:
    """Give a field a type that this code does not expect."""
    clients.client("dynamodb").update_item(
        TableName="jobs",
        Key={"id": {"S": row.id}},
        UpdateExpression="SET progress = :most",
        ExpressionAttributeValues={":most": {"S": "most of it"}},
    )


def let_go(bench: Bench) -> int:
    return pausing.admit_held(bench.send, until=clock.now() + clock.MINUTE, limit=25)


@pytest.mark.parametrize("happened", [canceled_by_another, gone, of_another_type])
def test_one_that_can_not_go_on_keeps_no_other_waiting(
    bench: Bench, happened: Callable[[JobRequest], None]
) -> None:
    first, second = held(bench, count=2)
    happened(first)
    pauses.resume(Kind.QUEUE, "a")
    assert let_go(bench) == 1
    assert bench.sent_jobs == [second.id]


def test_one_that_is_canceled_while_it_is_let_go_keeps_no_other_waiting(bench: Bench) -> None:
    first, second = held(bench, count=2)
    pauses.resume(Kind.QUEUE, "a")
    events = clients.client("dynamodb").meta.events

    def cancel(**_: Any) -> None:
        events.unregister("before-call.dynamodb.TransactWriteItems", cancel)
        caller_actions.cancel(bench.read(first))

    events.register("before-call.dynamodb.TransactWriteItems", cancel)
    assert let_go(bench) == 1
    assert bench.sent_jobs == [second.id]


@pytest.mark.parametrize(("code", "admitted"), [("TransactionConflict", 1), ("Throttling", 0)])
def test_one_that_another_pass_has_in_hand_is_left_to_it_and_an_outage_ends_the_letting_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str, admitted: int
) -> None:
    first, second = held(bench, count=2)
    pauses.resume(Kind.QUEUE, "a")
    admit = transitions.admit

    def refused(row: JobRequest) -> Change:
        if row.id == first.id:
            cause = ClientError({"Error": {"Code": code}}, "TransactWriteItems")
            raise TransactWriteError("not written", cause)
        return admit(row)

    monkeypatch.setattr(transitions, "admit", refused)
    assert let_go(bench) == admitted
    assert bench.sent_jobs == [second.id][:admitted]


def test_once_it_is_paused_again_no_more_of_it_is_written(bench: Bench) -> None:
    first, second = held(bench, count=2)
    pauses.resume(Kind.QUEUE, "a")
    events = clients.client("dynamodb").meta.events

    def pause(**_: Any) -> None:
        events.unregister("before-call.dynamodb.GetItem", pause)
        pauses.pause(Kind.QUEUE, "a")

    events.register("before-call.dynamodb.GetItem", pause)
    bench.advance(clock.HOUR / clock.SECOND)
    assert let_go(bench) == 0
    assert bench.read(first).due_at != first.due_at  # it was looked at
    assert bench.read(second).due_at == second.due_at


def test_a_pause_under_which_a_row_is_that_can_not_be_read_is_not_forgotten(bench: Bench) -> None:
    (row,) = held(bench)
    make_unreadable(row)
    pauses.resume(Kind.QUEUE, "a")
    bench.advance(600)
    assert let_go(bench) == 0
    assert [pause.name for pause in pauses.current(fresh=True).resuming()] == ["a"]


def test_a_job_whose_worker_dies_as_another_message_comes_does_not_start_in_a_pause(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch(queue_name="a")
    bench.claim(row, seconds=60)
    pausing.pause(Kind.QUEUE, "a")
    read = queries.read

    def read_before_the_lease_ends(job_id: str) -> JobRequest | None:
        monkeypatch.setattr(gates, "read", read)
        running = read(job_id)
        bench.advance(120)
        bench.tick()
        bench.advance(3600)
        return running

    monkeypatch.setattr(gates, "read", read_before_the_lease_ends)
    assert bench.run(row, seconds=7200).status is Status.RETRYABLE
