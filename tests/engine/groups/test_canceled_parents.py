"""A job is canceled with its members while it dispatches them, or between two invocations.

Whatever it does next, the members that haven't ended are canceled, and then the job.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import moto_items
from bench import Bench
from gathering_job import Gathering, items
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk
from job_runners.engine.lines import pausing
from job_runners.engine.running import execution, failure_records
from job_runners.engine.settling import group_ends
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.errors import PreconditionFailed
from job_runners.store import group_chunks, groups, lines, pauses, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.store.pauses import Kind
from job_runners.store.steps import Step
from job_runners.testing import moto_direct
from job_runners.work import Member
from lost_answers import lose_next_answer
from sample_work import Sample
from telemetry_lines import emitted


class Dispatching(Gathering):
    """A job that is acted on after it has dispatched four of its eight members.

    Its function then does something else.
    """

    def __init__(self, bench: Bench, **options: Any) -> None:
        super().__init__(bench, [], **options)
        self.act: Callable[[], object] = lambda: None
        self.first: list[Member] = []  # of another group, which is complete by then
        self.then: Callable[[Any], object] = lambda job: 1 / 0
        self.asked: list[JobRequest] = []

    def work(self, job: Any, payload: Sample) -> Any:
        if payload.text != "parent":
            self.begun.append(payload.number)
            return None
        if self.first:
            job.gather("a", self.first)
        with suppress(InterruptedError):
            job.gather("all", self._members())
        return self.then(job)

    def cancel(self) -> None:
        """Cancel the job with its members."""
        self.asked.append(caller_actions.cancel_with_members(self.read(), self.bench.send))

    def _members(self) -> Iterator[Member]:
        for number in range(8):
            if number == 5:
                self.act()
                raise InterruptedError
            yield Member("sample_once", {"number": number})

    def die(self) -> None:
        """Let an invocation begin whose worker dies after the function has ended."""
        with pytest.MonkeyPatch.context() as killed:
            killed.setattr(execution, "record", lambda claimed, _: Change(claimed.row, claimed.row))
            self.start()
        assert self.read().status is Status.RUNNING

    @property
    def statuses(self) -> list[str]:
        """Return the statuses of the members that were dispatched."""
        return [str(self.member(number).status) for number in range(4)]

    def assert_all_are_canceled(self) -> None:
        """Check that the four members were canceled before they began, and then the job."""
        assert self.statuses == ["canceled"] * 4
        assert self.read().status is Status.CANCELED
        self.bench.deliver()
        assert (self.begun, items("open#"), len(items("failed#"))) == ([], [], 4)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)
    monkeypatch.setattr(bulk, "THREADS", 1)


@pytest.fixture(params=["sample_once", "sample_again"])
def canceled(still: Bench, request: pytest.FixtureRequest) -> Dispatching:
    """Return a job that is canceled with its members while it dispatches them."""
    found = Dispatching(still, job_type=request.param, queue_name="sample_slots")
    found.act = found.cancel
    return found


def pause_type(job: Any) -> None:
    pauses.pause(Kind.JOB_TYPE, "sample_once")
    pauses.pause(Kind.JOB_TYPE, "sample_again")
    job.checkpoint(1, durable=True)


@pytest.mark.parametrize(
    "then",
    [
        lambda job: 1 / 0,
        lambda job: "done",
        lambda job: job.sleep("nap", 60),
        lambda job: job.wait_for("go", timeout=60),
        lambda job: job.next_turn(1),
        lambda job: job.checkpoint(1, durable=True),
        lambda job: job.gather("more", [Member("sample_once", {"number": 9})]),
        pause_type,
    ],
    ids=["raises", "returns", "sleeps", "waits", "yields", "checkpoints", "gathers", "is paused"],
)
def test_the_members_and_the_job_are_canceled_however_its_invocation_ends(
    canceled: Dispatching, then: Callable[[Any], object]
) -> None:
    canceled.then = then
    canceled.start()
    assert [(row.status, row.cancel_members) for row in canceled.asked] == [(Status.RUNNING, True)]
    canceled.assert_all_are_canceled()
    assert lines.read_line("sample_slots", "*", None).held_slots == []


def test_they_are_canceled_after_the_lease_of_a_worker_that_died(canceled: Dispatching) -> None:
    canceled.die()
    canceled.bench.tick()
    assert canceled.statuses == ["queued"] * 4
    canceled.bench.advance(1000)
    canceled.bench.sent.clear()
    canceled.bench.tick()
    assert canceled.read().error["kind"] == "Interrupted"
    canceled.assert_all_are_canceled()


def test_they_are_canceled_by_the_failure_record_of_a_worker_that_died(
    canceled: Dispatching,
) -> None:
    canceled.die()
    row = canceled.read()
    event = encode(JobMessage.about(row)._replace(send_id=str(row.send_id)))
    failure_records.handle_record({"requestPayload": json.loads(event)}, canceled.bench.send)
    canceled.assert_all_are_canceled()


def test_a_job_that_waits_to_be_canceled_is_shown_with_its_group_and_its_error(
    canceled: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    continue_parent = group_ends._continue_parent
    monkeypatch.setattr(group_ends, "_CANCEL_TIME", 0)
    monkeypatch.setattr(group_ends, "_continue_parent", lambda *_: False)
    canceled.then = lambda job: (job.checkpoint(message="four"), 1 / 0)
    row = canceled.start()
    assert (row.status, row.awaits_group, row.cancel_members) == (Status.WAITING, True, True)
    assert (row.current_wait or {})["name"] == "all"
    assert groups.awaited_group(row) == canceled.group
    assert (row.slot, row.lease_until, row.attempt) == (None, None, 1)
    assert row.error["kind"] == "ZeroDivisionError"
    assert row.result_message == "four"
    assert (row.due_at or 0) <= clock.now() + clock.MINUTE
    assert str(row.due_shard).startswith(Lane.WAITS)
    monkeypatch.setattr(group_ends, "_CANCEL_TIME", clock.MINUTE)
    monkeypatch.setattr(group_ends, "_continue_parent", continue_parent)
    canceled.bench.advance(60)
    canceled.bench.tick()
    assert canceled.read().status is Status.CANCELED


def test_a_group_that_is_no_longer_named_is_found_in_all_shards(canceled: Dispatching) -> None:
    found: list[Group] = []

    def forget_the_step() -> None:
        found.append(canceled.group)
        canceled.cancel()
        for row in moto_direct.rows("coordination"):
            if row["pk"].startswith("step#"):
                Step(row["pk"], row["sk"]).delete()

    canceled.act = forget_the_step
    canceled.start()
    assert canceled.read().status is Status.CANCELED
    for number in range(4):
        member = canceled.bench.read(found[0].member_id(f"{number:06d}"))
        assert member.status is Status.CANCELED


def test_it_waits_for_the_group_that_it_dispatched_last(canceled: Dispatching) -> None:
    canceled.first = [Member("sample_again", {"number": 100})]
    assert canceled.start().status is Status.WAITING
    canceled.bench.deliver()
    assert canceled.read().status is Status.CANCELED
    assert (canceled.begun, canceled.statuses) == ([100], ["canceled"] * 4)


@pytest.mark.parametrize("first", ["the job", "with its members"])
def test_a_plain_cancel_of_the_running_job_leaves_no_member(
    canceled: Dispatching, first: str
) -> None:
    def cancel_twice() -> None:
        plain = [lambda: caller_actions.cancel(canceled.read(), canceled.bench.send)]
        both = [*plain, canceled.cancel] if first == "the job" else [canceled.cancel, *plain]
        for act in both:
            act()

    canceled.act = cancel_twice
    canceled.start()
    canceled.assert_all_are_canceled()


# --- between two invocations ----------------------------------------------------------------------


def retryable(parent: Dispatching) -> None:
    parent.then = lambda job: 1 / 0
    assert parent.start().status is Status.RETRYABLE


def asleep(parent: Dispatching) -> None:
    parent.then = lambda job: job.sleep("nap", 60)
    assert parent.start().status is Status.SCHEDULED


def waiting_for_a_signal(parent: Dispatching) -> None:
    parent.then = lambda job: job.wait_for("go", timeout=60)
    assert parent.start().status is Status.WAITING


def queued(parent: Dispatching) -> None:
    parent.die()
    row = parent.read()
    change = transitions.end_invocation(row, transitions.Checkpoint(None, 10, None))
    assert (change.after.status, change.after.slot) == (Status.QUEUED, 1)


def paused(parent: Dispatching) -> None:
    queued(parent)
    pause = pauses.pause(Kind.JOB_TYPE, "sample_again")
    assert pausing.hold_under_pause(pause, parent.read()).after.status is Status.WAITING


def in_its_line(parent: Dispatching) -> None:
    queued(parent)
    key = lines.partition_key_of("sample_slots", "*")
    due_at = clock.now() + clock.HOUR
    held = transitions.hold_in_line(parent.read(), key, "*", group="", due_at=due_at)
    assert held.after.status is Status.WAITING


BETWEEN = [retryable, asleep, waiting_for_a_signal, queued, paused, in_its_line]


@pytest.mark.parametrize("becomes", BETWEEN)
def test_a_job_between_two_invocations_is_canceled_with_its_members_at_once(
    still: Bench, becomes: Callable[[Dispatching], None]
) -> None:
    parent = Dispatching(still, queue_name="sample_slots", job_type="sample_again")
    becomes(parent)
    still.sent.clear()
    parent.cancel()
    assert parent.asked[0].status is Status.CANCELED
    parent.assert_all_are_canceled()
    line = lines.read_line("sample_slots", "*", None)
    assert (line.held_slots, line.first) == ([], None)
    for pause in pauses.current(fresh=True).paused():
        assert list(pauses.held_entries(pause, 1)) == []


def test_a_job_that_is_claimed_in_between_is_asked_again(still: Bench) -> None:
    parent = Dispatching(still, queue_name="sample_slots", job_type="sample_again")
    queued(parent)
    seen = parent.read()
    still.claim(seen)
    asked = caller_actions.cancel_with_members(seen, still.send)
    assert (asked.status, asked.cancel_members) == (Status.RUNNING, True)


# --- the write itself -----------------------------------------------------------------------------


def before_it_waits(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, just before the row of a job begins to wait for its group."""
    actions = groups.member_wait_actions

    def acting(job: JobRequest) -> Any:
        monkeypatch.setattr(groups, "member_wait_actions", actions)
        act()
        return actions(job)

    monkeypatch.setattr(groups, "member_wait_actions", acting)


def test_the_wait_counts_if_only_its_answer_is_lost(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = Dispatching(still)
    parent.act = parent.cancel
    lost: list[list[str]] = []
    before_it_waits(monkeypatch, lambda: lost.append(lose_next_answer("UpdateItem")))
    parent.start()
    assert lost == [["UpdateItem"]]
    parent.assert_all_are_canceled()


def test_a_job_that_has_not_failed_waits_without_an_error(
    canceled: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_ends, "check_new_wait", lambda *_: None)
    canceled.then = lambda job: job.sleep("nap", 60)
    assert canceled.start().awaits_group
    assert "error" not in moto_items.row("jobs", {"id": {"S": canceled.row.id}})


def test_the_wait_is_refused_if_the_cancel_is_withdrawn(
    canceled: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw = JobRequest.cancel_members.remove()
    before_it_waits(monkeypatch, lambda: JobRequest(id=canceled.row.id).update([withdraw]))
    assert canceled.start().status is Status.RUNNING


def test_a_refused_stop_is_reported_as_one(canceled: Dispatching) -> None:
    with pytest.raises(PreconditionFailed, match="The write 'stop' was refused"):
        transitions.stop(canceled.bench.claim(canceled.row))


def test_the_wait_is_refused_if_the_claim_is_lost(
    canceled: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = JobRequest.claim_token.set("of a later run")
    before_it_waits(monkeypatch, lambda: JobRequest(id=canceled.row.id).update([claim]))
    assert canceled.start().status is Status.RUNNING


def test_a_job_whose_lease_is_renewed_is_not_rescued(
    canceled: Dispatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    canceled.die()
    canceled.bench.advance(1000)
    later = clock.now() + clock.HOUR
    before_it_waits(monkeypatch, lambda: transitions.renew(canceled.read(), later))
    canceled.bench.tick()
    assert canceled.read().status is Status.RUNNING
    canceled.bench.advance(3700)
    canceled.bench.tick()
    canceled.assert_all_are_canceled()


def test_a_worker_that_lost_its_claim_does_not_end_the_next_one(canceled: Dispatching) -> None:
    """Its refused write reads a row that another invocation has, and that is to be canceled."""

    def act() -> None:
        canceled.cancel()
        claim = JobRequest.claim_token.set("of a later run")
        JobRequest(id=canceled.row.id).update([claim])

    canceled.act = act
    assert canceled.start().status is Status.RUNNING


# --- what people see ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "then",
    [lambda job: 1 / 0, lambda job: "done", lambda job: job.sleep("nap", 60), None],
    ids=["raises", "returns", "sleeps", "dies"],
)
def test_the_job_is_counted_once_as_canceled(
    canceled: Dispatching,
    then: Callable[[Any], object] | None,
    on_lambda: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if then is None:
        canceled.die()
        canceled.bench.advance(1000)
        canceled.bench.tick()
    else:
        canceled.then = then
        canceled.start()
    ends = {"Succeeded", "Failed", "Retried", "Canceled"}
    found = [name for whose, counts in emitted(capsys) for name in counts if name in ends]
    assert found == ["Canceled"] * 5  # its members, too
