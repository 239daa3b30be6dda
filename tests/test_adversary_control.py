"""Owners and operators under a hostile Lambda: what they were promised is watched, and what keeps
it is needed."""

from collections.abc import Iterator
from typing import Any

import pytest
from pynamodb.expressions.condition import Condition

from runners import children, pause
from store import change, owner_verbs, steps, verbs
from store.job_request import JobRequest, Status, new_id
from test_adversary import broken_promise
from testing.history import stage


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with stage():
        yield


def anything() -> Condition:
    condition: Condition = JobRequest.id.exists()
    return condition


def test_it_notices_when_a_cancelled_job_gets_another_leg_or_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change, "not_cancelled", anything)
    assert "after it was cancelled" in broken_promise(near=19)


def test_it_notices_when_a_worker_does_not_look_at_the_brakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pause, "holds_back", lambda message: False)
    assert "into a pause" in broken_promise()


def test_it_notices_when_a_job_is_held_back_and_not_due(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = change.waiting

    def without(job: JobRequest, brake: str, since: int, due_at: int) -> Any:
        return [
            *(each for each in waiting(job, brake, since, due_at) if "due_at" not in str(each)),
            JobRequest.due_at.remove(),
        ]

    monkeypatch.setattr(change, "waiting", without)
    assert "not due: stranded" in broken_promise()


def test_it_notices_when_a_step_that_is_done_is_taken_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = steps.find
    monkeypatch.setattr("work.running_job.steps.find", lambda job, name: None)
    monkeypatch.setattr("testing.history.steps", _Found(find))
    assert "was taken again" in broken_promise(near=37)


class _Found:
    def __init__(self, find: Any) -> None:
        self.find = find


def test_it_notices_when_a_child_is_added_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "derived_id", lambda *parts: new_id())
    monkeypatch.setattr(
        "work.running_job.RunningJob._once", lambda self, name, function: function()
    )
    assert "is more than one job" in broken_promise(near=37)


def test_it_notices_when_the_same_request_is_two_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.accept.derived_id", lambda *parts: new_id())
    assert "is more than one job" in broken_promise()


def test_it_notices_when_a_scheduled_job_starts_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verbs, "EARLY", 10**9)
    monkeypatch.setattr("testing.witness.EARLY", 2000)
    assert "before its time" in broken_promise(near=105)


def test_it_notices_when_an_owner_deletes_a_job_that_has_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner_verbs, "_same_owner", lambda job: anything())
    monkeypatch.setattr("runners.control.delete", lambda row: row.delete())
    assert "was deleted while it was" in broken_promise()


def test_it_notices_when_a_job_is_retried_by_hand_that_has_succeeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = change.write

    def without(verb: str, job: Any, actions: Any, condition: Any, *, landed: Any) -> Any:
        asked = anything() if verb == "requeue" else condition
        return write(verb, job, actions, asked, landed=landed)

    def retry(row: JobRequest, send: Any, payload: Any = None) -> Any:
        return owner_verbs.requeue(row, max_attempts=3)

    monkeypatch.setattr(change, "write", without)
    monkeypatch.setattr("runners.control.retry_again", retry)
    monkeypatch.setattr("testing.people._GIVEN_UP", tuple(Status))
    assert broken_promise()
