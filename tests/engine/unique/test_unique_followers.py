"""A job that follows another, as the timer looks at it: it is a second line, seldom looked at, and
admits whoever was not admitted."""

import pytest

from bench import Bench
from job_runners.engine.tick import timer
from job_runners.store import uniqueness
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def ask(bench: Bench, text: str) -> JobRequest:
    return bench.dispatch("unique_follow", payload={"lot": "a", "text": text})


def end_as_older_code(row: JobRequest) -> None:
    """End a job, and leave its key to it."""
    row.update([JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()])


def test_looks_at_one_that_follows_grow_rare(bench: Bench) -> None:
    bench.claim(ask(bench, "first"), seconds=24 * 3600)  # it runs, for all that is known
    follows = ask(bench, "second")
    looks = 0
    for _ in range(4 * 6):
        bench.advance(600)
        looks += bench.tick().counts[timer.Disposition.HELD]
    assert bench.read(follows).status is Status.WAITING
    assert looks < 8  # each time after twice as long, up to an hour


def test_one_whose_place_was_lost_waits_for_who_has_it_and_goes_on_in_the_end(
    bench: Bench,
) -> None:
    first = ask(bench, "first")
    bench.claim(first)
    lost = ask(bench, "lost")
    end_as_older_code(first)
    uniqueness.KeyRecord(f"unique#{lost.unique_key}", "holder").delete()
    third = ask(bench, "third")
    bench.claim(third)
    fourth = ask(bench, "fourth")
    end_as_older_code(third)
    bench.advance(700)
    met = bench.tick().counts
    assert met[timer.Disposition.BROKEN] == 0
    assert [bench.read(row).status for row in (lost, fourth)] == [Status.WAITING, Status.QUEUED]
    end_as_older_code(bench.read(fourth))
    bench.advance(1300)
    bench.tick()
    assert bench.read(lost).status is Status.QUEUED
