"""Expiry: DynamoDB deletes no item before the last use of it, and never an item without an end."""

import importlib
import pkgutil
from typing import Any

import pytest

from bench import Bench
from gathering_job import Gathering
from hourly import put
from job_runners import clock, store
from job_runners.engine.control import caller_actions, signaling
from job_runners.engine.lines import admission, pausing
from job_runners.engine.schedules import schedules
from job_runners.store import failed_tasks, limits, transitions, webhooks
from job_runners.store.job_request import Status
from job_runners.store.line_items import LineItem
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from job_runners.store.table import CoordinationItem
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.work import Member
from job_runners.work.definitions import MAX_WAIT
from limited_queue import PLACE, QUEUE, dispatch, during, hold_in_order, items
from sample_work import script

# Days for which an item is kept from its last write on, at least: None if it never expires. By the
# first part of its partition, or of its sort key where that is a line.
WAITS = MAX_WAIT / (24 * 3600) + 1  # the timer fails a job that waits for longer, within a day
UNUSED = 40
# A row: it waits in its function (job_runners.work.waiting), then under a pause, then for a deploy
# that knows its type, and is kept at most 30 days more (RETENTION_DAYS).
LIVES = 150 + 2 * WAITS + 30
PROMISED = 300  # of keys, by docs/reference/limits.md
KEPT: dict[str, float | None] = {
    "wait": WAITS,
    "held": WAITS,
    "slot": UNUSED,
    "rate": UNUSED,
    "keys": UNUSED,
    "keys_of": UNUSED,
    "unique": PROMISED,
    "step": LIVES,
    "signal": LIVES,
    "group": LIVES,
    "answer": LIVES,
    "failed_tasks": 7,
    "failures": 30 + 7,  # it lists failed jobs, which are kept for 30 days (RETENTION_DAYS)
    "stub": UNUSED,
    "schedules": None,
    "paused": None,
    "limits": None,
    "link": LIVES,
    "webhooks": None,
}
MODELS = {  # of these items
    *("LineItem", "HeldEntry", "UsedKey", "KeyRecord", "Step", "FailedTask", "Schedule", "Mark"),
    *("Pause", "LimitChange", "Answer", "ErrorGroup", "Signal", "GroupItem"),
    *("AnswerLink", "Webhook"),
}


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def kind_of(item: dict[str, Any]) -> str:
    if "deleted_at" in item:
        return "stub"
    name = item["sk"] if item["pk"].startswith("line#") else item["pk"]
    return str(name).partition("#")[0]


def one_of_each(bench: Bench) -> None:
    """Leave an item of each kind in the coordination table, by what people and jobs do."""
    limits.put(QUEUE, slots=1, rate=Rate(1000, burst=1000))
    holder = dispatch(bench)
    during(bench, lambda: hold_in_order(bench, dispatch(bench)), holder)
    in_line = {"queue_name": "sample_campaigns", "payload": {"text": "spring"}}
    bench.run(bench.dispatch("sample_once", **in_line))
    pausing.pause(Kind.QUEUE, "paused")
    bench.run(bench.dispatch(queue_name="paused"))
    script.job = lambda job, payload: job.step("charge", lambda: 1)
    bench.run(bench.dispatch("sample_once"))
    members = [Member("unique_return", {"lot": "b"}), Member("sample_once"), Member("sample_once")]
    gathering = Gathering(bench, members, stop_after_failures=3)
    gathering.fails = {1}
    bench.dispatch("unique_return", payload={"lot": "b"})
    gathering.start()
    gathering.run_member(1)
    signaling.signal(bench.dispatch("sample_once"), "approval", 1, bench.send)
    script.job = lambda job, payload: 1 / 0
    bench.run(bench.dispatch("sample_once"))
    caller_actions.retry_again(bench.run(bench.dispatch("sample_once")), bench.send)
    for key in ("the first", "the second"):
        bench.dispatch("unique_return", payload={"lot": "a"}, idempotency_key=key)
    failed: dict[str, Any] = {
        "task_name": "t",
        "attempt": 1,
        "error_kind": "E",
        "error_message": "m",
    }
    failed_tasks.record(failed_tasks.new_task_id(), request_id=None, **failed)
    script.job = lambda job, payload: job.signal_url("approval", text="Pay?", timeout=60)
    bench.run(bench.dispatch("sample_once"))
    webhooks.put("acme", "crm", by=None, url="https://acme.example", secret="crm")
    put("kept")
    put("deleted")
    schedules.delete("acme", "deleted")
    bench.run(dispatch(bench))  # waits


def test_each_kind_of_item_is_kept_for_longer_than_it_is_used(still: Bench) -> None:
    one_of_each(still)
    found = moto_direct.rows("coordination")
    assert {kind_of(item) for item in found} == KEPT.keys()
    for item in found:
        kind = kind_of(item)
        longest = KEPT[kind]
        if longest is None:
            assert "expires_at" not in item, kind
        else:
            days = (item["expires_at"] * clock.SECOND - clock.now()) / clock.DAY
            assert longest <= round(days, 3) <= 300, kind


def test_no_kind_of_item_is_left_out_here() -> None:
    package = "job_runners.store."
    for module in pkgutil.walk_packages(store.__path__, package):
        importlib.import_module(module.name)
    models = CoordinationItem.__subclasses__()
    names = {model.__name__ for model in models if model.__module__.startswith(package)}
    assert {name for name in names if not name.startswith("_")} == MODELS


@pytest.mark.parametrize("admitted", [False, True])
@pytest.mark.parametrize("ahead", ["tat", "started_tat"])
def test_a_rate_that_is_paid_ahead_is_kept_until_that_time_and_longer(
    still: Bench, ahead: str, admitted: bool
) -> None:
    """A burst of many starts may be paid for months ahead: forgotten, it would come again."""
    limits.put(QUEUE, rate=Rate(1, seconds=24 * 3600, burst=100))
    paid_until, row = clock.now() + 50 * clock.DAY, dispatch(still)
    rate = LineItem(PLACE, "rate", since=clock.now(), started_at=clock.now())
    setattr(rate, ahead, paid_until * 1000)
    rate.save()
    if admitted:
        transitions.hold_in_line(row, PLACE, "*", group="", due_at=clock.now())
        admission.admit_waiting(QUEUE, "*", still.send)
    assert still.run(row).status is Status.SUCCEEDED
    (item,) = items("rate")
    assert item[ahead] == (paid_until + clock.DAY) * 1000
    assert item["expires_at"] == (paid_until + 41 * clock.DAY) // clock.SECOND


def test_a_row_expires_once_it_has_ended_and_not_after_it_was_queued_again(still: Bench) -> None:
    row = still.dispatch()
    assert row.expires_at is None
    ended = caller_actions.cancel(row)
    assert ended.expires_at == (clock.now() + 30 * clock.DAY) // clock.SECOND
    assert caller_actions.retry_again(ended, still.send).expires_at is None
