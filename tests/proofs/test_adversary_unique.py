"""Unique work under a hostile Lambda: without any one safeguard, the checker notices."""

from collections.abc import Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.faults import Fault
from histories.history import simulated_aws
from job_runners.store import blobs, conditional_write, holdings, uniqueness
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def noticed(*, near: int = 0) -> str:
    """Return what the first history says, from this one on, that breaks a promise."""
    return broken_promise(near=near, faults={Fault.UNIQUE})


def test_it_notices_when_a_record_is_taken_whoever_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uniqueness, "_unchanged", lambda record: uniqueness.KeyRecord.pk != "")
    assert "has two holders" in noticed()


def test_it_notices_when_a_key_is_given_up_in_a_second_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_and_free = holdings.write_and_free

    def write(
        transition: str, job: JobRequest, *rest: Any, release: holdings.Release, **more: Any
    ) -> Change:
        row = write_and_free(transition, job, *rest, release=release.__replace__(key=()), **more)
        if release.key:
            record = uniqueness.KeyRecord(f"unique#{job.unique_key}", "holder")
            record.delete()
        return row

    monkeypatch.setattr(holdings, "write_and_free", write)
    assert "by its record, not None's" in noticed()


def test_it_notices_when_a_cancel_keeps_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    write_and_free = holdings.write_and_free

    def write(transition: str, *rest: Any, release: holdings.Release, **more: Any) -> Change:
        kept = release.__replace__(key=()) if transition == "cancel" else release
        return write_and_free(transition, *rest, release=kept, **more)

    monkeypatch.setattr(holdings, "write_and_free", write)
    assert "by its record, not None's" in noticed()


def test_it_notices_when_a_manual_retry_takes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("job_runners.engine.control.caller_actions._unique_key", lambda *_: None)
    assert "has no key" in noticed(near=8)


def test_it_notices_when_the_claim_does_not_free_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uniqueness, "writes_to_release_key", lambda job: [])
    assert "by its record, not None's" in noticed()


def test_it_notices_when_a_replacement_is_told_by_what_it_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_and_free, put = holdings.write_and_free, blobs.put
    asked: list[bytes | None] = []

    def note(prefix: str, value: Any) -> tuple[bytes | None, str | None]:
        inline, key = put(prefix, value)
        asked.append(inline)
        return inline, key

    def write(transition: str, *rest: Any, already_applied: Any, **more: Any) -> Change:
        if transition == "replace":
            this = asked[-1]

            def already_applied(row: JobRequest) -> bool:
                return row.payload == this and not row.status.finished

        return write_and_free(transition, *rest, already_applied=already_applied, **more)

    monkeypatch.setattr(blobs, "put", note)
    monkeypatch.setattr(holdings, "write_and_free", write)
    assert "was accepted, and job" in noticed(near=1366)


def test_it_notices_when_a_job_that_has_begun_is_given_another_payload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = conditional_write.write

    def without(transition: str, job: Any, actions: Any, condition: Any, **more: Any) -> Any:
        anything = JobRequest.id.exists() if transition == "replace" else condition
        return write(transition, job, actions, anything, **more)

    monkeypatch.setattr(conditional_write, "write", without)
    assert "was given another payload" in noticed(near=384)


def test_it_notices_when_the_one_that_follows_is_not_admitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uniqueness, "_read_follower", lambda record: None)
    monkeypatch.setattr(uniqueness, "_no_follower_checks", lambda *_: [])
    assert "names None as follower" in noticed(near=9)
