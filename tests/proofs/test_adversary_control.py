"""Owners and operators under a hostile Lambda: what they were promised is watched, and what keeps
it is needed."""

from collections.abc import Iterator
from typing import Any

import pytest
from pynamodb.expressions.condition import Condition

from broken_promise import broken_promise
from histories.faults import Fault
from histories.history import History, simulated_aws
from histories.hostile_lambda import SKEW, HostileLambda
from histories.simulated_work import Steps
from job_runners.engine.dispatch import checking
from job_runners.engine.running import children
from job_runners.engine.settling import group_ends
from job_runners.runners.base import JobData
from job_runners.store import caller_transitions, conditional_write, pauses, steps, transitions
from job_runners.store.job_request import JobRequest, Status, new_id


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def anything() -> Condition:
    condition: Condition = JobRequest.id.exists()
    return condition


def test_it_notices_when_a_canceled_job_gets_another_invocation_or_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conditional_write, "no_cancel_requested", anything)
    assert "after it was canceled" in broken_promise(near=84)


def test_it_notices_when_a_worker_does_not_look_at_the_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pauses.Pauses, "may_hold", lambda *_: False)
    assert "into a pause" in broken_promise(near=48)


def test_it_notices_when_a_job_is_held_and_not_due(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = conditional_write.hold_actions

    def without(*how: Any) -> Any:
        return [
            *(each for each in waiting(*how) if "due_at" not in str(each)),
            JobRequest.due_at.remove(),
        ]

    monkeypatch.setattr(conditional_write, "hold_actions", without)
    assert "not due: stranded" in broken_promise()


def test_it_notices_when_a_step_that_is_done_is_taken_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = steps.find
    monkeypatch.setattr("job_runners.store.steps.find", lambda job, name: None)
    monkeypatch.setattr("histories.history.steps", _Found(find))
    assert "was taken again" in broken_promise(near=205)


class _Found:
    def __init__(self, find: Any) -> None:
        self.find = find


def test_it_notices_when_a_child_is_added_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "derived_id", lambda *_: new_id())
    monkeypatch.setattr(
        "job_runners.work.running_job.RunningJob._run_once",
        lambda _job, _name, function, **_: function(),
    )
    assert "created more than one job" in broken_promise(near=158)


def test_it_notices_when_the_same_request_is_two_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "id_for_idempotency_key", lambda *_: new_id())
    assert "created more than one job" in broken_promise()


def test_it_notices_when_a_scheduled_job_starts_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transitions, "CLAIM_TOLERANCE", 10**9)
    monkeypatch.setattr("job_runners.store.transitions.claiming.CLAIM_TOLERANCE", 10**9)
    monkeypatch.setattr("histories.invariant_checker.CLAIM_TOLERANCE", 2000)
    assert "before its time" in broken_promise(near=75)


def test_it_notices_when_an_owner_deletes_a_job_that_has_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caller_transitions, "_same_organization", lambda job: anything())
    monkeypatch.setattr(
        "job_runners.engine.control.caller_actions.delete", lambda row: row.delete()
    )
    assert "was deleted while it was" in broken_promise(near=6)


def test_it_notices_when_a_job_is_retried_manually_that_has_succeeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = conditional_write.write

    def without(transition: str, job: Any, actions: Any, condition: Any, **more: Any) -> Any:
        return write(
            transition, job, actions, anything() if transition == "requeue" else condition, **more
        )

    def retry(row: JobRequest, send: Any, payload: Any = None) -> Any:
        return caller_transitions.requeue(row, max_attempts=3).after

    monkeypatch.setattr(conditional_write, "write", without)
    monkeypatch.setattr("job_runners.engine.control.caller_actions.retry_again", retry)
    monkeypatch.setattr("histories.operators._GIVEN_UP", tuple(Status))
    assert "('succeeded', 'queued') after its outcome" in broken_promise(
        near=518,
    )


def test_it_notices_when_the_members_of_a_canceled_job_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_ends, "_cancel", lambda row, **_: None)
    assert "but its member" in broken_promise(near=10, faults={Fault.GROUPS})


# --- a deleted job and the next one with its id ---------------------------------------------------


def dispatch(history: History) -> None:
    """Dispatch a job under a key, with a follow-up."""
    payload = Steps(steps=1, request="0")
    history.payloads["0"] = [payload]
    data = JobData(
        job_type="hostile_once",
        payload=payload.model_dump(),
        idempotency_key="0",
        on_end="hostile_noted",
    )
    history.world.invoke("api", lambda: history._accept(data))


def test_a_job_is_created_at_another_time_than_the_deleted_one_with_its_id() -> None:
    """Else the first one's follow-ups are taken for those of the second."""
    clocks = [2, 0]  # the first is ahead by as much as passes until the second

    def choose(what: str, _n: int) -> int:
        return clocks.pop(0) if what == "skew" and clocks else 0

    with History(choose, {Fault.FOLLOW_UPS}) as history:
        dispatch(history)
        history.operators._cancel_and_delete()
        history.world.time += SKEW // 2
        clocks[:] = [0]
        dispatch(history)
        assert history.end()["follow-ups"] == 2


def test_a_job_is_not_deleted_while_its_save_may_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its row would come back."""
    lost: list[str] = []

    def choose(what: str, n: int) -> int:
        if what == "after a call" and not lost and history.checker.rows:
            lost.append(what)
            return 23
        return n - 2 if what == "before a call" and lost == ["after a call"] else 0

    def freeze(world: HostileLambda) -> None:
        lost.append("freeze")
        history.operators._cancel_and_delete()

    monkeypatch.setattr(HostileLambda, "freeze", freeze)
    with History(choose, {Fault.FOLLOW_UPS}) as history:
        dispatch(history)
        assert lost == ["after a call", "freeze"]
        assert history.end()["canceled"] == 1
