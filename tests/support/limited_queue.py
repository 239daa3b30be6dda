"""A queue that a test limits, with jobs that run and wait there: its line has no key."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_runners.engine.wire.messages import Message, QueueMessage
from job_runners.store import limits, lines
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from sample_work import script

QUEUE = "texts"
PLACE = lines.partition_key_of(QUEUE, "*")


@pytest.fixture
def one_slot(bench: Bench) -> Bench:
    """Return a bench whose queue has one slot."""
    limits.put(QUEUE, slots=1)
    return bench


def dispatch(bench: Bench, **fields: Any) -> JobRequest:
    bench.advance(0.001)
    return bench.dispatch(**({"job_type": "sample_again", "queue_name": QUEUE} | fields))


def during(bench: Bench, act: Callable[[], Any], row: JobRequest | None = None) -> JobRequest:
    """Do something while a job has the slot; return the job, which then ends."""
    has_begun: list[str] = []

    def work(job: Any, payload: object) -> None:
        if not has_begun:
            has_begun.append(job.id)
            act()

    script.job = work
    ended = bench.run(row or dispatch(bench))
    assert has_begun
    return ended


def hold_in_order(bench: Bench, *rows: JobRequest) -> None:
    """Have messages about jobs that find no room arrive, a second apart."""
    for row in rows:
        bench.advance(1)
        assert bench.run(row).status is Status.WAITING


def items(prefix: str) -> list[moto_direct.Row]:
    found = moto_direct.rows("coordination")
    return [it for it in found if it["pk"] == PLACE and str(it["sk"]).startswith(prefix)]


def held() -> list[str]:
    return [str(it["holder"]) for it in items("slot#") if "holder" in it]


def wake_ups(bench: Bench) -> list[tuple[Message, float]]:
    """Return the wake-ups that were sent, with their delays."""
    return [each for each in bench.sent if isinstance(each[0], QueueMessage)]
