"""Groups under a hostile Lambda: without any one safeguard, a promise is broken."""

from collections.abc import Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.faults import Fault, of_seed
from histories.history import History, simulated_aws
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.groups import markers, retrying
from job_runners.engine.settling import group_ends
from job_runners.store import conditional_write, groups
from job_runners.store.job_request import JobRequest
from job_runners.testing.moto_direct import Row
from job_runners.work import gathering

ONLY_GROUPS = frozenset({Fault.GROUPS})


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def test_it_notices_when_the_timer_reads_only_one_page_of_markers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(markers, "_MAX_PAGES", 1)
    assert "the timer left the marker" in broken_promise(near=110, faults=ONLY_GROUPS)


def test_it_notices_when_the_timer_looks_too_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markers, "_MAX_CHECK_GAP", 25 * clock.MINUTE)
    assert "after its last member's end" in broken_promise(near=375, faults=of_seed(346))


def test_a_parent_may_wait_for_a_timer_that_other_invocations_keep_waiting() -> None:
    def leave(_operation: str, call: Row) -> None:
        if str(call.get("Key", {}).get("sk")).startswith("{'S': 'open#"):
            world.stack[-1].is_reported = False
            world.kill("before it deletes its marker")

    with History(lambda *_: 0, ONLY_GROUPS) as history:
        world, checker = history.world, history.checker
        world.before_landing = leave
        history._dispatch_owner()
        while len(history._rows()) < 4 or len(history._unfinished()) > 1:
            world.time += clock.MINUTE
            world.tick()
            world._deliver_ready()
        assert checker.groups
        checker.groups.begin_peace()
        world.time += clock.HOUR
        world.before_landing = lambda *_: None
        world.tick()
        assert (world.figures["groups complete"], checker.violations) == (1, [])


def test_a_job_may_be_retried_before_its_cancel_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancel = caller_actions.cancel_with_members

    def cancel_and_see_it_retried(row: JobRequest, *send: Any) -> None:
        cancel(row, *send)
        history.operators._act_on(row.id, "retried manually", history.operators._retry)

    monkeypatch.setattr(caller_actions, "cancel_with_members", cancel_and_see_it_retried)
    with History(lambda *_: 0, ONLY_GROUPS) as history:
        history._dispatch_owner()
        history.world.is_harmless = True
        (job_id,) = history.checker.rows
        history.operators.cancel_parent(job_id)
        assert history.world.figures["retried manually"] == 1
        assert history.checker.violations == []


def test_it_notices_when_the_end_of_a_member_leaves_its_owner_to_the_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "shard_has_marker", lambda *_: True)
    assert "not within 10000 ms" in broken_promise(near=5, faults=ONLY_GROUPS)


def test_it_notices_when_no_failure_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markers, "note_failure", lambda *_: None)
    assert "continued without the failure" in broken_promise(near=10, faults=ONLY_GROUPS)


def test_it_notices_when_members_are_not_canceled_with_their_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_ends, "_stop_members", lambda *_: None)
    assert "is being canceled, but its member" in broken_promise(near=1, faults=ONLY_GROUPS)


def test_it_notices_when_a_job_goes_on_that_is_canceled_with_its_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        conditional_write, "no_cancel_requested", JobRequest.cancel_requested.does_not_exist
    )
    assert "although it is canceled with its members" in broken_promise(near=3, faults=ONLY_GROUPS)


def test_it_notices_when_members_of_a_waiting_owner_can_not_be_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrying, "_is_done_with", lambda *_: True)
    assert "could not be retried" in broken_promise(near=96, faults=ONLY_GROUPS)


def test_it_notices_when_a_retried_member_is_not_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "is_retried", lambda *_: False)
    assert "after a person had retried it" in broken_promise(near=335, faults=of_seed(226))


def test_it_notices_when_a_deleted_member_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "note_deleted", lambda *_: None)
    assert "started again, without retries" in broken_promise(near=187, faults=of_seed(4))


def test_it_notices_when_members_are_dispatched_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gathering._MemberDispatcher, "_without_dispatched", lambda _adding, jobs: jobs
    )
    assert "started again, without retries" in broken_promise(near=77, faults=of_seed(4))
