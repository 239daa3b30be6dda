"""Timelines under a hostile Lambda: without any one safeguard, a promise is broken."""

from collections.abc import Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.history import simulated_aws
from job_runners.store import acts, past
from job_runners.store.job_request import JobRequest
from job_runners.store.transitions import claiming


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def test_it_notices_when_a_claim_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = claiming._claim_actions
    claims: Any = JobRequest.claims

    def uncounted(*arguments: Any) -> list[Any]:
        return [each for each in real(*arguments) if each.values[0] is not claims]

    monkeypatch.setattr(claiming, "_claim_actions", uncounted)
    assert "its claims went from 0 to 0" in broken_promise()


def test_it_notices_when_an_end_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = past.end_actions

    def lost(job: JobRequest, outcome: past.Outcome) -> list[Any]:
        return [] if outcome == past.Outcome.LOST else real(job, outcome)

    monkeypatch.setattr(past, "end_actions", lost)
    assert "isn't in its past" in broken_promise()


def test_it_notices_when_full_entries_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_move_if_full", lambda job: (job.past or b"")[-3 * 23 :])
    assert "its timeline lacks the claims" in broken_promise()


def test_it_notices_when_a_retry_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = acts.retry_write

    def of_another_job(job: JobRequest, by: str | None) -> Any:
        return real(JobRequest(id=job.id, created_key="another"), by)

    monkeypatch.setattr(acts, "retry_write", of_another_job)
    assert "it was retried 1 times, and shown with" in broken_promise(near=11)
