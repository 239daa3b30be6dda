"""The write units in docs/operate/scale.md are those of the engine, counted of whole lives."""

import base64
import math
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from counted_units import Units
from job_runners import settings
from job_runners.store import limits, pauses
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.rate import Rate
from job_runners.testing.aws import forget
from sample_work import script
from scale_page import more_units


@pytest.fixture
def life(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[JobRequest, int]]:
    """Return what gives a job a whole life, and then its row and its write units."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    units = Units()

    def live(
        work: Any = None, *, job_type: str = "sample_again", **fields: Any
    ) -> tuple[JobRequest, int]:
        limits.current()
        pauses.current()
        units.spent()
        script.job = work or (lambda job, payload: None)
        row = bench.dispatch(job_type, **fields)
        row = bench.run(row, 100)
        bench.run_out()
        row = bench.read(row)
        assert row.status is Status.SUCCEEDED
        return row, units.spent()

    return live


Life = Callable[..., tuple[JobRequest, int]]


def test_a_job_that_ends_within_a_minute(life: Life) -> None:
    assert life()[1] == 6


def test_a_job_that_takes_longer_is_looked_at_once(life: Life, bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        bench.advance(61)
        bench.tick()

    assert life(work)[1] == 6 + more_units("runs longer than a minute")


def test_a_job_that_is_tried_again(life: Life) -> None:
    def work(job: Any, payload: object) -> None:
        if job.attempt == 1:
            raise ValueError("no luck " * 40)  # a record of the usual size, with its traceback

    assert life(work)[1] == 6 + more_units("is retried")


def test_a_job_of_three_invocations_that_is_looked_at_in_each(life: Life, bench: Bench) -> None:
    """An invocation's first checkpoint is written, and its last goes with its end."""
    invocations = []

    def work(job: Any, payload: object) -> None:
        invocations.append(job.cursor)
        job.checkpoint(len(invocations))
        bench.advance(61)
        bench.tick()
        if len(invocations) < 3:
            bench.advance(900)
            job.checkpoint(len(invocations))

    row, units = life(work)
    assert row.invocations == 3
    looks, checkpoints = 3 * more_units("runs longer than a minute"), 3 * more_units("saves a")
    expected = 6 + looks + checkpoints + 2 * more_units("continues in another invocation")
    # Its past invocations take this row over 1 KB, so its last four writes cost a unit more each.
    assert units == expected + 4


def test_a_job_with_steps(life: Life) -> None:
    """A step that is found again costs only a read."""
    counter = Units()

    def spent(steps: int) -> tuple[int, int]:
        def work(job: Any, payload: object) -> None:
            for number in range(steps):
                job.step(f"step {number}", lambda: {"receipt": "of-12345678"})
            if job.attempt == 1:
                raise ValueError("no luck " * 40)

        counter.reads = 0
        return life(work)[1], counter.reads

    spent(0)  # reads the pauses and limits
    (_, reads), (units, reads_with_steps) = spent(0), spent(3)
    assert units == 6 + more_units("is retried") + 3 * more_units("saves a checkpoint or a step")
    assert reads_with_steps - reads == 2 * 3  # each attempt looks for each step


def test_a_job_that_a_quota_counts(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "1000")
    settings.forget()
    assert life()[1] == 6 + more_units("counts toward `MaxUnfinishedJobs`")


@pytest.mark.parametrize("size", [10, 2_000, 3_000, 9_000])
def test_a_job_with_a_payload(life: Life, size: int) -> None:
    text = base64.b64encode(secrets.token_bytes(size)).decode()
    row, units = life(payload={"text": text})
    assert units == 3 + 3 * row_kb(row)


def row_kb(row: JobRequest) -> int:
    """Return the size of a row with this payload, as the page calculates it."""
    return math.ceil((900 + len(row.payload or "")) / 1024)


LIMITS: list[tuple[str, dict[str, Any]]] = [
    ("slots", {"slots": 2}),
    ("a rate", {"rate": Rate(1000)}),
    ("both", {"slots": 2, "rate": Rate(1000)}),
]


@pytest.mark.parametrize(("limited", "put"), LIMITS)
def test_a_job_of_a_queue_with_limits_that_need_not_wait(
    life: Life, bench: Bench, limited: str, put: dict[str, Any]
) -> None:
    limits.put("a", **put)
    life(queue_name="a")  # the first of a day costs one more
    bench.advance(1)
    assert life(queue_name="a")[1] == 6 + more_units(f"is in a queue with {limited}")


@pytest.mark.parametrize("key", [{}, {"idempotency_key": "k"}])
@pytest.mark.parametrize(("limited", "put"), [("", {}), *LIMITS])
def test_a_job_that_is_unique(
    bench: Bench, life: Life, limited: str, put: dict[str, Any], key: dict[str, Any]
) -> None:
    first, _ = life(job_type="unique_again", payload={"lot": "a"})
    if put:
        limits.put(first.queue_name, **put)
        life(job_type="unique_again", payload={"lot": "a"})  # the first of a day costs one more
        bench.advance(1)
    units = life(job_type="unique_again", payload={"lot": "a"}, **key)[1]
    unique = 6 + more_units("is unique") + (2 if key else 0)
    of_queue = more_units(f"is in a queue with {limited}") if limited else 0
    # With slots, its last write is a transaction already, so the key makes it no dearer.
    assert units == unique + of_queue - ("slots" in put)


def test_a_unique_job_with_a_payload(life: Life) -> None:
    text = base64.b64encode(secrets.token_bytes(2_000)).decode()
    row, units = life(job_type="unique_again", payload={"lot": text})
    # Two of its three writes are transactions, which cost twice as much.
    assert units == 3 + 4 + 5 * row_kb(row)
