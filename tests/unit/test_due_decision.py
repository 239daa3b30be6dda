"""What a due row needs follows from the row and a few inputs alone."""

from dataclasses import replace
from typing import Any

import pytest

from job_runners import clock
from job_runners.engine.tick import due_decision
from job_runners.engine.tick.due_decision import (
    Action,
    DecisionInput,
    Disposition,
    HoldInLine,
    Postpone,
    SendMessage,
)
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status
from job_runners.store.limits import Limits
from job_runners.store.pauses import Pause

NOW = 1_800_000_000_000
PAUSE = Pause("paused", "queue#q")
FACTS = DecisionInput(
    now=NOW, starts_in=0, is_known=True, start_within=3600.0, pause=None, limits=None
)


def row(**changes: Any) -> JobRequest:
    """Return a job that was queued a minute ago, changed like this."""
    new = JobRequest(id="job", job_type="sample", status=Status.QUEUED, row_version=ROW_VERSION)
    new.created_at = NOW - clock.MINUTE
    for name, value in changes.items():
        setattr(new, name, value)
    return new


def test_a_queued_row_is_sent() -> None:
    next_check_at, resend_at = NOW + clock.MINUTE, NOW + 59 * clock.MINUTE
    first = row(due_shard="0", due_at=NOW)
    assert due_decision.decide(first, FACTS) == SendMessage(True, next_check_at, resend_at)
    again = row(due_shard="resent-0", due_at=NOW)
    assert due_decision.decide(again, FACTS) == SendMessage(False, next_check_at, resend_at)


def test_a_row_may_start_late_from_the_time_it_was_scheduled_for() -> None:
    asked = {"status": Status.SCHEDULED, "created_at": NOW - clock.DAY}
    in_time = row(**asked, run_at=NOW - 59 * clock.MINUTE)
    assert isinstance(due_decision.decide(in_time, FACTS), SendMessage)
    late = row(**asked, run_at=NOW - 61 * clock.MINUTE)
    assert isinstance(due_decision.decide(late, FACTS), due_decision.Expire)


def test_a_paused_row_is_held() -> None:
    decision = due_decision.decide(row(), replace(FACTS, pause=PAUSE))
    assert decision == due_decision.Hold(PAUSE)


def test_a_paused_row_that_this_deploy_cannot_start_is_only_checked_later() -> None:
    later = Postpone(Disposition.UNKNOWN, NOW + clock.MINUTE, Lane.HELD)
    paused = replace(FACTS, pause=PAUSE)
    assert due_decision.decide(row(), replace(paused, is_known=False)) == later
    assert due_decision.decide(row(row_version=ROW_VERSION + 1), paused) == later


def test_a_row_of_an_unknown_type_gives_up_a_slot_that_it_does_not_use() -> None:
    limits = Limits(slots=1)
    inputs = replace(FACTS, is_known=False, limits=limits)
    assert due_decision.decide(row(), inputs) == HoldInLine(limits)


def test_a_row_of_newer_code_keeps_its_slot() -> None:
    newer = row(row_version=ROW_VERSION + 1)
    decision = due_decision.decide(newer, replace(FACTS, limits=Limits(slots=1)))
    assert isinstance(decision, Postpone)


def test_a_running_row_is_rescued_after_its_lease() -> None:
    running = row(status=Status.RUNNING, lease_until=NOW)
    assert due_decision.decide(running, FACTS) == Postpone(Disposition.LEASED, NOW, Lane.PROMPT)
    assert due_decision.decide(running, replace(FACTS, now=NOW + 1)) is Action.RESCUE


def test_an_admitted_row_is_checked_when_it_loses_its_capacity() -> None:
    admitted = row(created_at=NOW - clock.DAY, admitted_at=NOW - 50 * clock.MINUTE)
    decision = due_decision.decide(admitted, replace(FACTS, start_within=1e6))
    assert isinstance(decision, SendMessage)
    assert decision.next_check_at == NOW + 10 * clock.MINUTE


def test_an_admitted_row_that_can_not_be_held_is_checked_hourly() -> None:
    """Its queue no longer has limits, so it has no capacity to lose."""
    admitted = row(created_at=NOW - clock.DAY, admitted_at=NOW - clock.HOUR)
    inputs = replace(FACTS, start_within=1e6)
    decision = due_decision.decide(admitted, inputs)
    assert isinstance(decision, SendMessage)
    assert decision.next_check_at == NOW + clock.HOUR
    unknown = due_decision.decide(admitted, replace(inputs, is_known=False))
    assert unknown == Postpone(Disposition.UNKNOWN, NOW + clock.HOUR, Lane.HELD)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.WAITING, Status.QUEUED])
def test_only_unclaimed_rows_are_handled_ahead_of_time(status: Status) -> None:
    early = row(status=status, due_at=NOW + 1)
    assert due_decision.is_due(early, NOW + clock.MINUTE, clock.MINUTE) == (status is Status.QUEUED)
    assert due_decision.is_due(row(status=status, due_at=NOW), NOW + clock.MINUTE, clock.MINUTE)


def test_a_row_that_waits_for_a_signal_is_left_alone_until_its_time_is_over() -> None:
    wait = {"kind": "signal", "name": "a", "names": ["a"], "since": 0, "until": NOW + 1}
    waits = row(status=Status.WAITING, held_by="signal#a", waiting_since=0, current_wait=wait)
    assert due_decision.decide(waits, FACTS) == Postpone(Disposition.HELD, NOW + 1, Lane.WAITS)
    over = replace(FACTS, now=NOW + 1)
    assert due_decision.decide(waits, over) is Action.ADMIT_UNSIGNALED


def test_a_row_whose_group_takes_too_long_expires_unless_it_is_canceled_with_its_members() -> None:
    wait = {"kind": "group", "name": "all", "names": [], "since": 0, "until": NOW, "shards": 1}
    waits = row(status=Status.WAITING, held_by="group#a", current_wait=wait)
    assert isinstance(due_decision.decide(waits, FACTS), due_decision.Expire)
    waits.cancel_members = True
    assert due_decision.decide(waits, FACTS) is Action.CHECK_GROUP
