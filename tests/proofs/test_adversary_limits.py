"""Queues with limits under a hostile Lambda: without any one safeguard, the checker notices."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.faults import Fault
from histories.history import simulated_aws
from job_runners.engine.running import failure_records
from job_runners.store import conditional_write, holdings
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.lines import Line

STARTABLE = (Status.SCHEDULED, Status.QUEUED, Status.RETRYABLE)


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def noticed(*, near: int = 0) -> str:
    """Return what the first history says, from this one on, that breaks a promise."""
    return broken_promise(near=near, faults={Fault.LIMITS})


def free_otherwise(
    monkeypatch: pytest.MonkeyPatch, transitions: set[str], write: Callable[..., Change]
) -> None:
    """Let these transitions give back what their row holds in this way."""
    write_and_free = holdings.write_and_free

    def freeing(transition: str, *arguments: Any, **more: Any) -> Change:
        if transition not in transitions:
            return write_and_free(transition, *arguments, **more)
        kept = {name: more[name] for name in more.keys() - {"release"}}
        return write(transition, *arguments, **kept)

    monkeypatch.setattr(holdings, "write_and_free", freeing)


def test_it_notices_when_a_slot_is_freed_in_a_second_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(transition: str, job: JobRequest, *arguments: Any, **more: Any) -> Change:
        row = conditional_write.write(transition, job, *arguments, **({"more_writes": ()} | more))
        for freed in holdings.writes_to_free_slot(job):
            freed.record.update(list(freed.actions), freed.condition)
        return row

    free_otherwise(monkeypatch, {"succeed"}, write)
    assert "which it has: it leaked" in noticed(near=1)


def test_it_notices_when_a_cancel_leaves_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    write_and_free = holdings.write_and_free

    def write(transition: str, *arguments: Any, release: holdings.Release, **more: Any) -> Change:
        kept = release.__replace__(entry=()) if transition == "cancel" else release
        return write_and_free(transition, *arguments, release=kept, **more)

    monkeypatch.setattr(holdings, "write_and_free", write)
    assert "its entry is there" in noticed(near=1555)


def test_it_notices_when_a_retry_keeps_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(
        transition: str, job: JobRequest, actions: list[Any], *arguments: Any, **more: Any
    ) -> Change:
        kept = [each for each in actions if "slot" not in str(each)]
        return conditional_write.write(
            transition, job, kept, *arguments, **({"more_writes": ()} | more)
        )

    free_otherwise(monkeypatch, {"retry"}, write)
    assert "(retryable) holds slot" in noticed(near=7)


def test_it_notices_when_a_failure_record_admits_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_records, "settle_unknown", lambda *_, **__: None)
    assert "failures has left" in noticed(near=944)


def test_it_notices_when_the_rate_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Line, "next_start_at", lambda self, token=None: 0)
    assert "started in" in noticed(near=521)


def test_it_notices_when_an_invocation_does_not_keep_the_mark_of_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "job_runners.store.transitions.ending._keep_capacity_actions", lambda job: []
    )
    assert "has paid twice for one start" in noticed(near=101)
