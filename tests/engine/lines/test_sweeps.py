"""Sweeps: which queues they go along, and what cuts one short.

Tests of the jobs that they admit are in tests/engine/lines/test_line_keys.py.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.lines import sweeping
from job_runners.store import limits, used_keys
from limited_queue import QUEUE
from noted_keys import note

BY_CAMPAIGN = "sample_campaigns"  # of the sample work: one slot for each organization and text


def swept(bench: Bench, seconds: float = 0) -> list[str]:
    """Return the keys that one tick goes along, where those of a batch take so long."""
    counts: list[str] = []

    def each(keys: Iterable[str], call: Callable[[str], None]) -> bool:
        counts.extend(keys)
        bench.advance(seconds)
        return True

    sweeping.sweep(bench.send, each, until=clock.now() + clock.MINUTE)
    return counts


@pytest.fixture
def two_changed(bench: Bench) -> None:
    """Have two queues with changed limits; only those of BY_CAMPAIGN have become wider."""
    limits.put(QUEUE, slots=1)
    note(QUEUE, "acme:A")
    limits.put(BY_CAMPAIGN, slots=2, sweep=True)
    note(BY_CAMPAIGN, "acme:B")
    bench.advance(121)


def test_a_sweep_leaves_alone_a_queue_whose_limits_have_not_become_wider(
    bench: Bench, two_changed: None
) -> None:
    assert swept(bench) == ["acme:B"]
    assert swept(bench) == []


def test_where_no_sweep_is_due_a_tick_makes_no_request_for_one(bench: Bench) -> None:
    limits.put(QUEUE, slots=1)
    limits.current()  # which a process reads once in 10 s
    asked: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb", lambda model, **_: asked.append(model.name)
    )
    assert swept(bench) == []
    assert asked == []


def test_a_key_at_which_the_time_ran_out_is_come_to_again(bench: Bench, two_changed: None) -> None:
    """Not all may have been admitted there that have room."""
    assert swept(bench, seconds=61) == ["acme:B"]
    assert swept(bench) == ["acme:B"]
    assert swept(bench) == []


def test_a_queue_whose_keys_can_t_be_read_keeps_no_other_waiting(
    bench: Bench, two_changed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.ask_for_sweep(QUEUE)
    bench.advance(121)
    used, asked = used_keys.used_in_queue, []

    def first_is_away(queue_name: str, *given: Any) -> list[str]:
        asked.append(queue_name)
        if len(asked) == 1:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        return used(queue_name, *given)

    monkeypatch.setattr(used_keys, "used_in_queue", first_is_away)
    other = {QUEUE: "acme:B", BY_CAMPAIGN: "acme:A"}
    assert swept(bench) == [other[asked[0]]]
    assert limits.current(fresh=True)[asked[0]].sweep_from == ""  # the next tick comes to it


def test_a_sweep_that_another_has_overtaken_is_left_to_it(
    bench: Bench, two_changed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH_SIZE", 1)
    for name in "CDE":
        note(BY_CAMPAIGN, f"acme:{name}")
    record_sweep_progress = limits.record_sweep_progress

    def overtaken(read: Any, up_to: str | None) -> bool:
        limits.ask_for_sweep(BY_CAMPAIGN)  # anew: it begins with the first key
        return record_sweep_progress(read, up_to)

    monkeypatch.setattr(limits, "record_sweep_progress", overtaken)
    assert swept(bench) == ["acme:B"]


def test_who_asks_for_a_sweep_is_not_kept_waiting_for_all_of_the_first_keys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ABC":
        note(BY_CAMPAIGN, f"acme:{name}")
    counts: list[str] = []

    def slowly(queue_name: str, key: str, send: object, *, until: int) -> None:
        counts.append(key)
        bench.advance(6)

    monkeypatch.setattr(sweeping, "admit_waiting", slowly)
    sweeping.begin(BY_CAMPAIGN, bench.send, until=clock.now() + 10 * clock.SECOND)
    assert counts == ["acme:A", "acme:B"]
