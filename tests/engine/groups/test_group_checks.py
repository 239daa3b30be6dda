"""A check of a group changes its parent only if the parent still waits as the check has read it."""

from collections.abc import Callable
from typing import Any

import pytest
from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.update import Action

import moto_items
from bench import Bench
from gathering_job import Gathering, finish, items, look
from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.control import caller_actions
from job_runners.engine.groups import markers
from job_runners.engine.settling import group_ends
from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed, WrongState
from job_runners.store import caller_transitions, groups, transactions, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.groups import Group
from job_runners.store.job_request import ROW_VERSION, JobRequest, Status
from job_runners.store.transactions import RaceLost
from job_runners.store.transitions import group_waits
from job_runners.testing import moto_direct
from job_runners.work import context
from lost_answers import lose_next_answer
from sample_work import Sample, script


def change(row: JobRequest, *actions: Action) -> None:
    """Change a row behind the back of the code that has read it."""
    JobRequest(id=row.id).update(list(actions))


def stored(row: JobRequest) -> dict[str, Any]:
    return moto_items.row("jobs", {"id": {"S": row.id}})


@pytest.fixture
def ended(bench: Bench) -> Gathering:
    """Return a job that still waits, although its only member has ended and has no marker."""
    gathering = Gathering(bench, 1)
    gathering.start()
    bench.sent.clear()
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(markers, "finish", lambda *_: None)
        gathering.run_member(0)
    assert gathering.read().status is Status.WAITING
    return gathering


def check(gathering: Gathering) -> bool:
    return finish(gathering.row, gathering.bench.send)


# --- jobs that a check leaves alone ---------------------------------------------------------------


def canceled(gathering: Gathering) -> None:
    caller_actions.cancel(gathering.read())


def admitted_by_older_code(gathering: Gathering) -> None:
    transitions.admit(gathering.read())


def of_newer_code(gathering: Gathering) -> None:
    change(gathering.row, JobRequest.row_version.set(ROW_VERSION + 1))


@pytest.mark.parametrize("happens", [canceled, admitted_by_older_code, of_newer_code])
def test_a_check_leaves_a_job_alone_that_does_not_wait_or_is_of_newer_code(
    ended: Gathering, happens: Callable[[Gathering], None]
) -> None:
    happens(ended)
    before = stored(ended.row)
    assert not check(ended)
    assert stored(ended.row) == before
    assert ended.bench.sent == []


def test_a_check_of_a_deleted_job_does_nothing(ended: Gathering) -> None:
    canceled(ended)
    caller_actions.delete(ended.read())
    assert not check(ended)


# --- what happens between the read and the write --------------------------------------------------


def finished(gathering: Gathering) -> None:
    group_waits.finish_group(gathering.read())


def finished_and_canceled(gathering: Gathering) -> None:
    finished(gathering)
    canceled(gathering)


def finished_and_in_its_next_invocation(gathering: Gathering) -> None:
    finished(gathering)
    transitions.end_invocation(
        gathering.bench.claim(gathering.row), transitions.Checkpoint(1, 10, None)
    )


def parent_canceled(gathering: Gathering) -> None:
    group_waits.cancel_parent(gathering.read())


def failed(gathering: Gathering) -> None:
    change(gathering.row, JobRequest.status.set(Status.FAILED))


def canceled_in_its_next_run(gathering: Gathering) -> None:
    status = JobRequest.status.set(Status.CANCELED)
    change(gathering.row, status, JobRequest.claim_token.set("of a later run"))


@pytest.mark.parametrize(
    ("transition", "happens", "counts"),
    [
        ("finish_group", finished, True),  # as if the answer was lost
        ("finish_group", finished_and_canceled, False),
        ("finish_group", finished_and_in_its_next_invocation, False),
        ("finish_group", admitted_by_older_code, False),
        ("cancel_parent", parent_canceled, True),
        ("cancel_parent", failed, False),
        ("cancel_parent", canceled_in_its_next_run, False),
    ],
)
def test_a_refused_write_counts_only_if_the_row_already_contains_it(
    ended: Gathering,
    monkeypatch: pytest.MonkeyPatch,
    transition: str,
    happens: Callable[[Gathering], None],
    counts: bool,
) -> None:
    if transition == "cancel_parent":
        change(ended.row, JobRequest.cancel_members.set(True))
    write = getattr(group_waits, transition)

    def overtaken(parent: JobRequest) -> JobRequest:
        monkeypatch.setattr(group_waits, transition, write)
        happens(ended)
        row: JobRequest = write(parent)
        return row

    monkeypatch.setattr(group_waits, transition, overtaken)
    assert check(ended) is counts
    assert ended.bench.sent_jobs == [ended.row.id] * (counts and transition == "finish_group")


_WAITS = {
    "status": JobRequest.status.set(Status.QUEUED),
    "held_by": JobRequest.held_by.set("pause#"),
    "claim_token": JobRequest.claim_token.set("of a later run"),
    "gather_epoch": JobRequest.gather_epoch.set(1),
}
_ASKED = {
    "status": JobRequest.status.set(Status.QUEUED),
    "held_by": JobRequest.held_by.set("pause#"),
    "last_finished_group_id": JobRequest.last_finished_group_id.set("a group"),
    "last_group_id": JobRequest.last_group_id.set("another group"),
    "created_key": JobRequest.created_key.set("of a later job with this id"),
}


@pytest.mark.parametrize(
    ("transition", "changed"),
    [
        *(("finish_group", each) for each in [*_WAITS, "canceled with its members"]),
        *(("cancel_parent", each) for each in [*_WAITS, "cancel_members"]),
        *(("cancel_members", each) for each in _ASKED),
    ],
)
def test_a_row_that_has_changed_since_it_was_read_is_not_written(
    ended: Gathering, transition: str, changed: str
) -> None:
    if transition == "cancel_parent" and changed != "cancel_members":
        change(ended.row, JobRequest.cancel_members.set(True))
    parent = ended.read()
    if changed == "canceled with its members":
        change(parent, JobRequest.cancel_members.set(True))
    elif changed != "cancel_members":
        change(parent, (_WAITS | _ASKED)[changed])
    before = stored(parent)
    options = {"by": None} if transition == "cancel_members" else {}
    with pytest.raises(PreconditionFailed):
        getattr(group_waits, transition)(parent, **options)
    assert stored(parent) == before


def test_members_are_not_dispatched_by_an_invocation_that_has_lost_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    begin = group_waits.begin_gather

    def overtaken(row: JobRequest, group: Any) -> Change:
        change(row, JobRequest.claim_token.set("of a later run"))
        return begin(row, group)

    caught: list[Exception] = []

    def work(job: Any, payload: Sample) -> Any:
        try:
            return gathering.work(job, payload)
        except Exception as error:  # noqa: BLE001 - as a careless author would
            caught.append(error)

    script.job = work
    monkeypatch.setattr(group_waits, "begin_gather", overtaken)
    gathering.start()
    assert caught == []
    assert items("") == []
    assert len(moto_direct.rows("jobs")) == 1


# --- errors of AWS --------------------------------------------------------------------------------


def test_an_invocation_that_has_ended_only_logs_that_its_check_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crashes: list[BaseException]
) -> None:
    gathering = Gathering(bench, 1)
    monkeypatch.setattr(groups, "is_finished", lambda _: 1 / 0)
    assert gathering.start().status is Status.WAITING
    assert [type(error) for error in crashes] == [ZeroDivisionError]
    crashes.clear()


def transaction_error(code: str) -> TransactWriteError:
    from botocore.exceptions import ClientError

    answer: Any = {"Error": {"Code": "TransactionCanceledException", "Message": ""}}
    answer["CancellationReasons"] = [{"Code": code}]
    return TransactWriteError("no", ClientError(answer, "TransactWriteItems"))


@pytest.fixture
def leftover(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Gathering:
    """Return a job that waits, with five members that ended without a wake-up. Pages have two."""
    monkeypatch.setattr(markers, "_PAGE_SIZE", 2)
    gathering = Gathering(bench, 5)
    gathering.start()
    for number in range(5):
        transitions.succeed(bench.claim(gathering.member(number)), number)
    return gathering


def fail_first(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the first deletion of a marker fail."""
    write_all = transactions.write_all

    def failing(writes: Any) -> None:
        monkeypatch.setattr(markers, "write_all", write_all)
        raise error

    monkeypatch.setattr(markers, "write_all", failing)


@pytest.mark.parametrize("error", [RaceLost([]), transaction_error("TransactionConflict")])
def test_a_marker_that_changes_does_not_keep_a_look_from_the_others(
    leftover: Gathering, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fail_first(monkeypatch, error)
    assert not look(leftover.read(), leftover.bench.send)
    assert len(items("open#")) == 1  # the others are gone
    assert look(leftover.read(), leftover.bench.send)


def test_a_look_ends_with_an_error_of_aws(
    leftover: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_first(monkeypatch, transaction_error("InternalServerError"))
    with pytest.raises(AWS_ERRORS):
        look(leftover.read(), leftover.bench.send)


def test_a_look_reads_no_page_of_markers_twice(
    leftover: Gathering, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, pages = groups.first_markers, []

    def first_markers(*arguments: Any) -> Any:
        pages.append(read(*arguments))
        return pages[-1]

    monkeypatch.setattr(groups, "first_markers", first_markers)
    fail_first(monkeypatch, RaceLost([]))
    look(leftover.read(), leftover.bench.send)
    assert [len(page) for page in pages] == [2, 2, 1]
    look(leftover.read(), leftover.bench.send)
    assert [len(page) for page in pages[3:]] == [1]


# --- a job that is canceled with its members ------------------------------------------------------


def test_a_job_that_is_canceled_with_its_members_is_looked_at_each_minute(still: Bench) -> None:
    gathering = Gathering(still, 1)
    gathering.start()
    still.claim(gathering.member(0), seconds=3600)
    for _ in range(17):
        still.advance(60)
        still.tick()
    assert (gathering.read().due_at or 0) > clock.now() + clock.MINUTE
    caller_actions.cancel_with_members(gathering.read(), still.send)
    for _ in range(2):
        assert (gathering.read().due_at or 0) <= clock.now() + clock.MINUTE
        still.advance(60)
        still.tick()


def test_a_running_job_stays_due_at_the_end_of_its_lease(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    claimed = bench.claim(gathering.row)
    group_waits.begin_gather(gathering.read(), Group("of some members", 1))
    asked = caller_actions.cancel_with_members(gathering.read(), bench.send)
    assert asked.cancel_members
    assert (asked.due_at, asked.due_shard) == (claimed.due_at, claimed.due_shard)


def test_a_request_to_cancel_is_recorded_if_its_answer_is_lost_and_the_job_has_changed_since(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    bench.claim(gathering.member(0))
    seen = gathering.read()
    lost = lose_next_answer("UpdateItem", lambda: change(seen, JobRequest.held_by.set("another")))
    asked = caller_actions.cancel_with_members(seen, bench.send)
    assert lost == ["UpdateItem"]
    assert (asked.awaits_group, asked.cancel_members) == (True, True)


def test_a_job_that_has_ended_in_between_is_not_reported_as_canceled(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    bench.claim(gathering.row)
    group_waits.begin_gather(gathering.read(), Group("of some members", 1))
    asked = caller_actions.cancel_with_members(gathering.read(), bench.send)
    failed(gathering)
    with pytest.raises(WrongState):
        caller_actions.cancel_with_members(asked, bench.send)


def test_a_canceled_job_names_who_asked_first(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    bench.claim(gathering.member(0))
    for name in (None, "ada", "bob"):
        token = context.author.set(context.Author("operator", name) if name else None)
        caller_actions.cancel_with_members(gathering.read(), bench.send)
        context.author.reset(token)
    assert gathering.read().canceled_by == "operator:ada"


def test_a_member_that_was_canceled_before_is_not_reported_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 2)
    gathering.start()
    caller_transitions.cancel(gathering.member(0))  # its marker is left
    reported: list[str] = []
    monkeypatch.setattr(telemetry, "canceled_by_caller", lambda row: reported.append(row.id))
    caller_actions.cancel_with_members(gathering.read(), bench.send)
    assert sorted(reported) == sorted([gathering.row.id, gathering.member(1).id])


@pytest.mark.parametrize("stale", [False, True])
def test_a_plain_cancel_ends_a_cancel_with_members(bench: Bench, stale: bool) -> None:
    """A canceled job that still names its members' cancel would have canceled them all."""
    gathering = Gathering(bench, 1)
    gathering.start()
    bench.claim(gathering.member(0))
    seen = gathering.read()
    caller_actions.cancel_with_members(gathering.read(), bench.send)
    canceled = caller_actions.cancel(seen if stale else gathering.read(), bench.send)
    assert (canceled.status, canceled.cancel_members) == (Status.CANCELED, None)


def test_a_job_that_failed_with_an_open_group_is_not_canceled_with_its_members(
    bench: Bench,
) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    failed(gathering)
    with pytest.raises(WrongState):
        caller_actions.cancel_with_members(gathering.read(), bench.send)
    assert gathering.read().cancel_members is None


def test_a_job_that_is_deleted_in_between_is_not_canceled_with_its_members(bench: Bench) -> None:
    gathering = Gathering(bench, 1)
    waiting = gathering.start()
    canceled(gathering)
    caller_actions.delete(gathering.read())
    with pytest.raises(PreconditionFailed):
        caller_actions.cancel_with_members(waiting, bench.send)


def test_a_job_that_is_deleted_after_its_cancel_is_shown_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()

    def delete(*_: Any) -> None:
        canceled(gathering)
        caller_actions.delete(gathering.read())

    monkeypatch.setattr(group_ends, "check_new_wait", delete)
    assert caller_actions.cancel_with_members(gathering.read(), bench.send).cancel_members


def test_a_job_that_is_canceled_just_before_it_waits_is_not_checked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    hold = group_waits.gather

    def asked_first(*arguments: Any, **more: Any) -> Change:
        caller_actions.cancel(gathering.read(), bench.send)
        return hold(*arguments, **more)

    monkeypatch.setattr(group_waits, "gather", asked_first)
    assert gathering.start().status is Status.CANCELED


@pytest.mark.parametrize(
    ("status", "held_by", "awaits"),
    [
        (Status.WAITING, "group#a", "group"),
        (Status.WAITING, "signal#a", "signal"),
        (Status.WAITING, "pause#", None),
        (Status.WAITING, None, None),
        (Status.QUEUED, "group#a", None),
        (Status.QUEUED, "signal#a", None),
    ],
)
def test_only_a_job_that_waits_for_a_group_or_signal_awaits_one(
    status: Status, held_by: str | None, awaits: str | None
) -> None:
    row = JobRequest(status=status, held_by=held_by)
    assert (row.awaits_group, row.awaits_signal) == (awaits == "group", awaits == "signal")
