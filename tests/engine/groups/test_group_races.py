"""What may happen between any two writes of a group: no member is forgotten, and none is lost."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bench import Bench
from gathering_job import Gathering, finish, items
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import dispatch, members
from job_runners.engine.groups import markers, retrying
from job_runners.engine.settling import group_ends
from job_runners.errors import PreconditionFailed, UniqueConflict
from job_runners.store import caller_transitions, groups, transitions
from job_runners.store.groups import Group, GroupItem
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import group_waits
from job_runners.testing import moto_direct
from job_runners.work import Member

MINUTE = 60


def before(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, happens: Callable[[], object]
) -> None:
    """Let something happen once, just before a function is called."""
    original = getattr(module, name)

    def call(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(module, name, original)
        happens()
        return original(*arguments, **more)

    monkeypatch.setattr(module, name, call)


def retry(bench: Bench, member: JobRequest) -> JobRequest:
    return caller_actions.retry_again(member, bench.send)


def failing(bench: Bench, number: list[Member] | int, *fails: int, **options: Any) -> Gathering:
    """Return a job that waits for members, of which some fail when they run."""
    gathering = Gathering(bench, number, **options)
    gathering.fails = set(fails)
    gathering.start()
    bench.sent.clear()
    return gathering


# --- a process that dies --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["note_failed", "drop_marker", "shard_has_marker", "is_finished"])
def test_the_timer_does_what_the_process_that_ended_the_last_member_did_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, crashes: list[BaseException]
) -> None:
    gathering = failing(bench, 1, 0)
    with monkeypatch.context() as killed:
        killed.setattr(groups, name, lambda *_: 1 / 0)
        assert gathering.run_member(0).status is Status.FAILED
    assert [type(error) for error in crashes] == [ZeroDivisionError]
    crashes.clear()
    assert gathering.read().status is Status.WAITING
    bench.advance(MINUTE)
    bench.tick()
    bench.deliver()
    assert gathering.counts == [(1, 1)]
    assert len(items("failed#")) == 1


def test_the_timer_looks_again_after_growing_gaps(bench: Bench) -> None:
    gathering = failing(bench, 1)
    bench.claim(gathering.member(0), seconds=30 * 3600)
    gaps = []
    for _ in range(7):
        due_at = gathering.read().due_at or 0
        gaps.append(round((due_at - clock.now()) / clock.MINUTE))
        bench.advance((due_at - clock.now()) / 1000)
        bench.tick()
    assert gaps == [1, 1, 2, 4, 8, 10, 10]
    assert gathering.read().status is Status.WAITING
    bench.advance(24 * 60 * MINUTE)
    bench.tick()
    assert ((gathering.read().due_at or 0) - clock.now()) // clock.MINUTE in (59, 60)


def test_a_member_whose_worker_died_after_its_end_is_found_by_the_timer(bench: Bench) -> None:
    gathering = failing(bench, 2)
    gathering.run_member(0)
    transitions.fail(bench.claim(gathering.member(1)), {"kind": "ValueError", "message": "no luck"})
    assert gathering.read().status is Status.WAITING
    bench.advance(MINUTE)
    bench.tick()
    bench.deliver()
    assert gathering.counts == [(2, 1)]


def expire(row: JobRequest) -> None:
    row.update([JobRequest.expires_at.set(clock.now() // clock.SECOND)])


@pytest.mark.parametrize("remove", [caller_actions.delete, expire])
def test_a_member_that_is_gone_keeps_the_job_waiting_while_an_invocation_could_save_it(
    bench: Bench, remove: Callable[[JobRequest], Any]
) -> None:
    """Such an invocation exists if the job was canceled with its members, and then retried."""
    gathering = failing(bench, 2)
    gathering.run_member(0)
    transitions.succeed(bench.claim(gathering.member(1)), 1)
    remove(gathering.member(1))
    bench.advance(30 * MINUTE)
    bench.tick()
    assert gathering.read().status is Status.WAITING
    bench.advance(10 * MINUTE)
    bench.tick()
    bench.deliver()
    assert [status for _, status, _ in gathering.got[0]] == ["succeeded", "deleted"]


def test_many_leftover_markers_are_deleted_in_one_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markers, "_PAGE_SIZE", 2)
    gathering = failing(bench, 7)
    for number in range(7):
        transitions.succeed(bench.claim(gathering.member(number)), number)
    bench.advance(MINUTE)
    bench.tick()
    assert gathering.read().status is Status.QUEUED
    assert items("failed#") == []


def test_a_wake_up_without_a_reason_makes_the_job_wait_again(bench: Bench) -> None:
    gathering = failing(bench, 2)
    gathering.members = (1 / 0 for _ in range(2))  # they aren't read again
    transitions.admit(gathering.read())
    assert bench.run(gathering.row).status is Status.WAITING
    gathering.run_member(0)
    gathering.run_member(1)
    bench.deliver()
    assert gathering.counts == [(2, 0)]


def test_the_end_of_the_last_member_before_the_job_waits_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    before(monkeypatch, group_waits, "gather", lambda: gathering.run_member(0))
    assert gathering.start().status is Status.QUEUED
    bench.deliver()
    assert gathering.counts == [(1, 0)]


# --- a manual retry ------------------------------------------------------------------------------


def test_a_member_that_is_retried_in_time_is_waited_for_again(bench: Bench) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    gathering.fails = set()
    retried = retry(bench, gathering.member(0))
    assert gathering.read().gather_epoch == 1
    assert len(items("open#")) == 2
    gathering.run_member(1)
    assert gathering.read().status is Status.WAITING
    bench.run(retried)
    bench.deliver()
    assert gathering.counts == [(2, 0)]  # the row decides, although its failure is recorded
    assert len(items("failed#")) == 1


def test_a_check_that_read_the_markers_before_a_retry_does_not_continue_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 1, 0)
    before(monkeypatch, group_waits, "finish_group", lambda: retry(bench, gathering.member(0)))
    gathering.run_member(0)
    assert gathering.read().status is Status.WAITING
    gathering.fails = set()
    bench.deliver()
    assert gathering.counts == [(1, 0)]


def test_a_retry_between_the_markers_and_the_admission_is_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 1, 0)
    is_finished = groups.is_finished

    def then_retry(group: Group) -> bool:
        monkeypatch.setattr(groups, "is_finished", is_finished)
        found = is_finished(group)
        retry(bench, gathering.member(0))
        return found

    monkeypatch.setattr(groups, "is_finished", then_retry)
    gathering.run_member(0)
    assert gathering.read().status is Status.WAITING


def test_a_process_that_ended_a_member_late_does_not_delete_the_marker_of_its_retry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 1, 0)
    before(monkeypatch, groups, "drop_marker", lambda: retry(bench, gathering.member(0)))
    gathering.run_member(0)
    assert len(items("open#")) == 1
    assert gathering.read().status is Status.WAITING


def test_the_timer_does_not_delete_the_marker_of_a_retry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 1)
    transitions.fail(bench.claim(gathering.member(0)), {"kind": "ValueError", "message": "no luck"})
    before(monkeypatch, markers, "write_all", lambda: retry(bench, gathering.member(0)))
    bench.advance(MINUTE)
    bench.tick()
    assert len(items("open#")) == 1
    assert gathering.read().status is Status.WAITING


def test_the_timer_does_not_delete_a_marker_whose_member_is_live_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the fresh marker and the failed row, just before the row was queued again."""
    gathering = failing(bench, 1)
    transitions.fail(bench.claim(gathering.member(0)), {"kind": "ValueError", "message": "no luck"})
    member = gathering.member(0)
    mark = groups.put_marker(str(member.member_of), member.id)
    before(
        monkeypatch,
        markers,
        "write_all",
        lambda: caller_transitions.requeue(member, max_attempts=1, member_mark=mark).after,
    )
    bench.advance(MINUTE)
    bench.tick()
    assert len(items("open#")) == 1
    assert gathering.read().status is Status.WAITING


def test_the_timer_does_not_delete_the_fresh_marker_of_a_retry_that_is_under_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 1)
    transitions.fail(bench.claim(gathering.member(0)), {"kind": "ValueError", "message": "no luck"})
    member = gathering.member(0)
    put = partial(groups.put_marker, str(member.member_of), member.id)
    before(monkeypatch, markers, "write_all", put)
    bench.advance(MINUTE)
    bench.tick()
    assert len(items("open#")) == 1


def test_a_marker_that_the_timer_deletes_before_the_retry_is_put_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    bench.advance(MINUTE)
    before(monkeypatch, caller_transitions, "requeue", bench.tick)
    assert retry(bench, gathering.member(0)).status is Status.QUEUED
    assert len(items("open#")) == 2


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (caller_transitions, "requeue"),
        (groups, "renew_marker"),
        (retrying, "_parent_write"),
        (retrying, "read"),
    ],
)
def test_of_two_retries_at_once_one_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    member = gathering.member(0)
    before(monkeypatch, module, name, lambda: retry(bench, member))
    retry(bench, member)
    assert gathering.read().gather_epoch == 1
    gathering.fails = set()
    gathering.run_member(0)
    gathering.run_member(1)
    assert items("open#") == []
    assert gathering.read().status is Status.QUEUED  # without the timer


def test_a_retry_that_dies_after_its_marker_leaves_it_to_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    groups.renew_marker(gathering.member(0))
    retry(bench, gathering.member(0))
    gathering.fails = set()
    gathering.run_member(0)
    gathering.run_member(1)
    assert gathering.read().status is Status.QUEUED


def test_a_retry_replaces_the_marker_of_the_run_that_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that ended that run is late, and then deletes the marker of that run."""
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    retry(bench, gathering.member(0))
    before(monkeypatch, groups, "drop_marker", lambda: retry(bench, gathering.member(0)))
    gathering.run_member(0)  # it fails again, and is retried again
    gathering.run_member(1)
    assert len(items("open#")) == 1
    assert gathering.read().status is Status.WAITING


def test_a_marker_put_without_an_answer_is_that_of_the_retry(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The AWS client repeats the put, which is refused then."""
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    save = GroupItem.save

    def unanswered(item: GroupItem, *arguments: Any) -> Any:
        monkeypatch.setattr(GroupItem, "save", save)
        item.save(*arguments)
        return item.save(*arguments)

    monkeypatch.setattr(GroupItem, "save", unanswered)
    retried = retry(bench, gathering.member(0))
    assert groups.find_marker(retried).mark == retried.member_mark  # type: ignore[union-attr]


@pytest.mark.parametrize("in_between", [False, True])
def test_a_retry_that_is_refused_for_its_unique_key_leaves_no_marker(
    unique: Bench, monkeypatch: pytest.MonkeyPatch, in_between: bool
) -> None:
    members = [Member("unique_return", {"lot": "a"}), Member("sample_once", {"number": 1})]
    gathering = failing(unique, members)
    caller_actions.cancel(gathering.member(0), unique.send)
    unique.claim(unique.dispatch("unique_return", payload={"lot": "a"}))
    if in_between:  # its last member ends while the marker is there
        before(monkeypatch, caller_transitions, "requeue", lambda: gathering.run_member(1))
    with pytest.raises(UniqueConflict):
        retry(unique, gathering.member(0))
    assert len(items("open#")) == (0 if in_between else 1)
    if not in_between:
        gathering.run_member(1)
    assert gathering.read().status is Status.QUEUED  # without the timer


def test_a_refused_retry_does_not_miss_a_marker_that_the_timer_has_deleted(
    unique: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [Member("unique_return", {"lot": "a"}), Member("sample_once", {"number": 1})]
    gathering = failing(unique, members)
    caller_actions.cancel(gathering.member(0), unique.send)
    unique.claim(unique.dispatch("unique_return", payload={"lot": "a"}))
    before(monkeypatch, groups, "find_marker", lambda: markers.sweep(gathering.read()))
    with pytest.raises(UniqueConflict):
        retry(unique, gathering.member(0))
    assert len(items("open#")) == 1


def test_a_marker_that_cannot_be_deleted_is_left_to_the_timer(
    unique: Bench, monkeypatch: pytest.MonkeyPatch, crashes: list[BaseException]
) -> None:
    gathering = failing(unique, [Member("unique_return", {"lot": "a"})])
    with monkeypatch.context() as killed:
        killed.setattr(markers, "finish", lambda *_: None)
        caller_actions.cancel(gathering.member(0), unique.send)
    unique.claim(unique.dispatch("unique_return", payload={"lot": "a"}))
    with monkeypatch.context() as killed:
        killed.setattr(groups, "find_marker", lambda _: 1 / 0)
        with pytest.raises(UniqueConflict):
            retry(unique, gathering.member(0))
    assert [type(error) for error in crashes] == [ZeroDivisionError]
    crashes.clear()
    unique.advance(MINUTE)
    unique.tick()
    assert gathering.read().status is Status.QUEUED


def test_a_member_that_is_retried_after_the_job_continued_does_not_change_the_job(
    bench: Bench,
) -> None:
    gathering = failing(bench, 1, 0)
    gathering.run_member(0)
    bench.deliver()
    before_retry = gathering.read()
    retry(bench, gathering.member(0))
    bench.deliver()
    assert gathering.read().updated_at == before_retry.updated_at
    assert gathering.counts == [(1, 1)]


def test_a_job_that_continues_during_a_retry_does_not_get_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry has read it while it waited, so the transaction is refused, and reads it again."""
    gathering = failing(bench, 1, 0)
    with monkeypatch.context() as killed:
        killed.setattr(groups, "is_finished", lambda _: False)
        gathering.run_member(0)
    before(
        monkeypatch,
        groups,
        "renew_marker",
        lambda: finish(gathering.row, bench.send),
    )
    retried = retry(bench, gathering.member(0))
    assert retried.status is Status.QUEUED
    assert gathering.read().gather_epoch is None


def test_a_retry_gives_up_if_its_job_keeps_changing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 1, 0)
    gathering.run_member(0)
    gone = groups.marker_check(str(gathering.member(0).member_of), "x", "x")
    monkeypatch.setattr(groups, "marker_check", lambda *_: gone)
    with pytest.raises(PreconditionFailed):
        retry(bench, gathering.member(0))
    assert gathering.member(0).status is Status.FAILED


def test_a_refused_retry_lets_the_job_continue_if_all_others_have_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    gone = groups.marker_check(str(gathering.member(0).member_of), "x", "x")
    monkeypatch.setattr(groups, "marker_check", lambda *_: gone)
    before(monkeypatch, caller_transitions, "requeue", lambda: gathering.run_member(1))
    with pytest.raises(PreconditionFailed):
        retry(bench, gathering.member(0))
    assert items("open#") == []
    assert gathering.read().status is Status.QUEUED
    assert [message.id for message, _ in bench.sent] == [gathering.row.id]


@pytest.mark.parametrize("retried", [False, True])
def test_a_job_that_is_canceled_during_a_retry_of_a_member_is_not_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, retried: bool
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    parent = gathering.read()

    def cancel() -> None:
        caller_actions.cancel(parent, bench.send)
        if retried:  # with another payload, and so another group
            payload = {"text": "parent", "number": 2}
            caller_actions.retry_again(gathering.read(), bench.send, payload)
            assert bench.run(parent).status is Status.WAITING

    before(monkeypatch, groups, "renew_marker", cancel)
    assert retry(bench, gathering.member(0)).status is Status.QUEUED
    assert gathering.read().gather_epoch is None


def test_a_member_of_an_earlier_group_can_be_retried(bench: Bench) -> None:
    gathering = failing(bench, 1, 0)
    old = gathering.member(0)
    caller_actions.cancel(gathering.read(), bench.send)
    payload = {"text": "parent", "number": 2}
    caller_actions.retry_again(gathering.read(), bench.send, payload)
    bench.run(gathering.row)
    assert bench.run(old).status is Status.FAILED
    assert retry(bench, bench.read(old)).status is Status.QUEUED
    assert gathering.read().gather_epoch is None


def test_a_member_whose_job_is_deleted_can_be_retried(bench: Bench) -> None:
    gathering = failing(bench, 1, 0)
    member = gathering.member(0)
    caller_actions.cancel(gathering.read(), bench.send)
    bench.run(member)
    caller_actions.delete(gathering.read())
    assert retry(bench, bench.read(member)).status is Status.QUEUED


# --- a job that is canceled -----------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True])
def test_members_of_a_canceled_job_go_on_and_it_is_not_continued(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    gathering = failing(bench, 2, 0, stop_after_failures=1)
    members = [gathering.member(0), gathering.member(1)]
    caller_actions.cancel(gathering.read(), bench.send)
    if deleted:
        caller_actions.delete(gathering.read())
        monkeypatch.setattr(groups, "shard_has_marker", lambda _: True)  # as it was just before
    assert [str(bench.run(each).status) for each in members] == ["failed", "succeeded"]
    assert bench.sent == []
    if not deleted:
        assert gathering.read().status is Status.CANCELED


def test_a_check_that_began_before_a_cancel_and_a_retry_does_not_continue_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(1)

    def cancel_and_retry_all() -> None:
        caller_actions.cancel(gathering.read(), bench.send)
        retry(bench, gathering.member(0))
        caller_actions.retry_again(gathering.read(), bench.send)
        assert bench.run(gathering.row).status is Status.WAITING

    before(monkeypatch, group_waits, "finish_group", cancel_and_retry_all)
    gathering.run_member(0)
    assert gathering.read().status is Status.WAITING


def test_a_member_retried_while_the_job_is_canceled_is_waited_for_when_it_is_retried(
    bench: Bench,
) -> None:
    gathering = failing(bench, 2, 0)
    gathering.run_member(0)
    caller_actions.cancel(gathering.read(), bench.send)
    retry(bench, gathering.member(0))
    caller_actions.retry_again(gathering.read(), bench.send)
    gathering.run_member(1)
    assert bench.run(gathering.row).status is Status.WAITING
    gathering.fails = set()
    gathering.run_member(0)
    assert gathering.read().status is Status.QUEUED


def test_a_job_retried_with_another_payload_has_another_group(bench: Bench) -> None:
    gathering = failing(bench, 1)
    caller_actions.cancel(gathering.read(), bench.send)
    payload = {"text": "parent", "number": 2}
    caller_actions.retry_again(gathering.read(), bench.send, payload)
    old = gathering.member(0)
    bench.run(gathering.row)
    gathering.row = gathering.read()
    assert gathering.member(0).id != old.id
    bench.run(old)
    assert gathering.read().status is Status.WAITING


def test_a_group_that_takes_too_long_fails_its_job(bench: Bench) -> None:
    gathering = failing(bench, 1)
    bench.advance(29 * 24 * 3600 + MINUTE)
    bench.tick()
    row = gathering.read()
    assert (row.status, row.error["kind"]) == (Status.FAILED, "GroupExpired")
    assert "After 29 days" in row.error["message"]
    assert gathering.member(0).status is not Status.SUCCEEDED


def test_a_deleted_job_leaves_no_items(bench: Bench) -> None:
    gathering = failing(bench, 3, 1)
    caller_actions.cancel(gathering.read(), bench.send)
    caller_actions.delete(gathering.read())
    assert items("") == []


# --- failures that stop a group -------------------------------------------------------------------


def test_members_that_have_not_started_are_canceled_after_some_failures(bench: Bench) -> None:
    gathering = failing(bench, 5, 0, 1, 2, stop_after_failures=2)
    running = bench.claim(gathering.member(4))
    gathering.run_member(0)
    assert gathering.member(3).status is Status.QUEUED
    gathering.run_member(1)
    assert [gathering.member(each).status for each in (2, 3)] == [Status.CANCELED] * 2
    transitions.succeed(running, 1)
    bench.advance(MINUTE)
    bench.tick()
    bench.deliver()
    assert gathering.counts == [(5, 4)]


def test_members_are_canceled_page_by_page(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_ends, "PAGE_LIMIT", 2)
    gathering = failing(bench, 8, 0, stop_after_failures=1)
    running = [bench.claim(gathering.member(number)) for number in (1, 2, 3)]
    gathering.run_member(0)
    statuses = [gathering.member(number).status for number in range(4, 8)]
    assert statuses == [Status.CANCELED] * 4
    assert all(bench.read(row).status is Status.RUNNING for row in running)


def test_a_member_between_two_invocations_has_started_and_is_not_canceled(bench: Bench) -> None:
    gathering = failing(bench, 2, 0, stop_after_failures=1)
    claimed = bench.claim(gathering.member(1))
    transitions.end_invocation(claimed, transitions.Checkpoint(1, 10, None))
    gathering.run_member(0)
    assert gathering.member(1).status is Status.QUEUED


def test_failures_before_the_job_waits_count_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 3, stop_after_failures=1)
    gathering.fails = {0}
    before(monkeypatch, group_waits, "gather", lambda: gathering.run_member(0))
    gathering.start()
    assert gathering.member(2).status is Status.CANCELED
    assert gathering.read().status is Status.QUEUED


# --- unique members -------------------------------------------------------------------------------


def test_an_existing_job_stands_for_a_unique_member_and_is_not_waited_for(unique: Bench) -> None:
    other = unique.dispatch("unique_return", payload={"lot": "a"})
    gathering = Gathering(unique, [Member("unique_return", {"lot": "a"}, key="one")])
    gathering.start()
    assert gathering.read().status is Status.QUEUED
    unique.run(gathering.row)
    assert gathering.got == [[("one", "existing", None)]]
    assert items("open#") == []
    assert unique.read(other).status is Status.QUEUED


def test_a_unique_member_without_another_job_is_a_member(unique: Bench) -> None:
    gathering = Gathering(unique, [Member("unique_return", {"lot": "a"}, key="one")])
    gathering.start()
    row = unique.read(gathering.group.member_id("one"))
    assert row.member_of is not None
    assert len(items("open#")) == 1


def test_a_unique_member_that_is_refused_counts_as_failed(unique: Bench) -> None:
    unique.dispatch("unique_refuse", payload={"lot": "a"})
    gathering = Gathering(unique, [Member("unique_refuse", {"lot": "a"}, key="one")])
    gathering.start()
    unique.run(gathering.row)
    assert gathering.counts == [(1, 1)]
    assert [status for _, status, _ in gathering.got[0]] == ["failed"]


def test_a_unique_member_is_not_saved_after_its_marker_was_replaced(
    unique: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an invocation that was overtaken. The member then gets a fresh marker."""
    gathering = Gathering(unique, [Member("unique_return", {"lot": "a"}, key="one")])
    original = groups.marker_check
    calls: list[str] = []

    def check(member_of: str, member_id: str, mark: str) -> Any:
        calls.append(mark)
        if len(calls) == 1:
            groups.put_marker(member_of, member_id)
        return original(member_of, member_id, mark)

    monkeypatch.setattr(groups, "marker_check", check)
    gathering.start()
    assert len(calls) == 2
    row = unique.read(gathering.group.member_id("one"))
    assert row.member_mark == calls[1]
    assert moto_direct.rows("coordination")


def test_a_unique_member_that_another_invocation_has_just_saved_is_that_member(
    unique: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(unique, [Member("unique_return", {"lot": "a"}, key="one")])
    save = dispatch.save_checked

    def saved_twice(job: Any, *more: Any) -> JobRequest:
        save(job, *more)
        return save(job, *more).row

    monkeypatch.setattr(members, "save_checked", saved_twice)
    assert gathering.start().status is Status.WAITING
    member = gathering.group.member_id("one")
    assert items("open#") == [f"open#{member}"]
    assert items("existing#") == []
    assert unique.run(unique.read(member)).status.finished
    assert gathering.read().status is Status.QUEUED
