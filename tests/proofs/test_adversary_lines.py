"""Safeguards of queues with limits that few histories need: each has a history of its own, in which
the checker notices that it is gone, and says nothing while it is there."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from histories.active_limits import SWEPT_AFTER
from histories.declared_queues import LIMITED
from histories.history import simulated_aws
from job_runners import clock
from job_runners.engine.lines import admission, sweeping
from job_runners.store import (
    caller_transitions,
    conditional_write,
    limits,
    line_items,
    lines,
    transitions,
)
from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import LineItem
from job_runners.store.lines import Line
from job_runners.store.rate import Rate
from job_runners.store.transitions import claiming, holding
from scripted_history import ScriptedHistory, before, scripted

SWEEP = sweeping._sweep
Script = Callable[[ScriptedHistory], None]


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def played(script: Script) -> list[str]:
    with scripted() as history:
        script(history)
        return list(history.violations)


class WithoutAsRead:
    """What a transition has of `conditional_write`, but for the condition that its row is as it was
    read: the row's status is all that it asks for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(conditional_write, name)

    def unchanged(self, job: JobRequest) -> Any:
        """Return the condition that is left."""
        return JobRequest.status == job.status


class WithoutSame(WithoutAsRead):
    """What a line has of `conditional_write`, but for the condition that an item is as it was
    read."""

    def same(self, _attribute: Any, _seen: Any) -> Any:
        """Return the condition that is left."""
        return LineItem.holder.does_not_exist()


def admitted(history: ScriptedHistory) -> str:
    """Return a job that has the only slot, and that no worker has started yet."""
    first, second = history.dispatch(), history.dispatch()
    history.run(first, during=lambda: history.run(second))
    assert history.row(second).slot == 1
    return second


def admit_another(history: ScriptedHistory, holder: str, job_id: str) -> None:
    """Have a job hold, and be admitted since the slot's holder is canceled."""
    history.run(job_id)
    history.cancel(holder)
    assert history.row(job_id).slot == 1


def a_stale_claim(history: ScriptedHistory) -> None:
    """Have a worker find slot 2 free for a job, which is held then, and admitted with slot 1."""
    holder, job = admitted(history), history.dispatch()
    history.limit(2)

    def meanwhile() -> None:
        history.limit(1)
        admit_another(history, holder, job)

    with before(transitions, "claim", meanwhile):
        history.run(job)


def a_stale_hold(history: ScriptedHistory) -> None:
    """Have a worker find no room for a job, which is held by another then, and admitted."""
    holder, job = admitted(history), history.dispatch()
    with before(transitions, "hold_in_line", lambda: admit_another(history, holder, job)):
        history.run(job)


def a_stale_cancel(history: ScriptedHistory) -> None:
    """Have a job canceled by its owner, which is held just then, and admitted."""
    holder, job = admitted(history), history.dispatch()
    with before(caller_transitions, "cancel", lambda: admit_another(history, holder, job)):
        history.cancel(job)


def a_lowered_number(history: ScriptedHistory) -> None:
    """Have a job hold a slot, and then one slot less."""
    first, second = history.dispatch(), history.dispatch()
    history.limit(2)

    def meanwhile() -> None:
        history.limit(1)
        history.run(second)

    history.run(first, during=meanwhile)


def two_starts_at_once(history: ScriptedHistory) -> None:
    """Have two workers find that the rate allows one start."""
    first, second = history.dispatch(), history.dispatch()
    history.limit(2, Rate(1, seconds=200))

    def meanwhile() -> None:
        history.world.time += clock.SECOND
        history.run(second)

    with before(transitions, "claim", meanwhile):
        history.run(first)


def messages_that_lie(history: ScriptedHistory) -> None:
    """Have two jobs admitted at a rate, whose messages come at the same time much later."""
    jobs = [history.dispatch() for _ in range(3)]
    history.limit(20, Rate(1, seconds=200))
    for job in jobs:
        history.run(job)
    for _ in range(2):
        history.world.time += 240 * clock.SECOND
        admission_pass = partial(
            admission.admit_waiting, LIMITED, "*", lambda _message, _delay=0: None
        )
        history.world.invoke("timer", admission_pass)
    for job in jobs[1:]:
        history.run(job)


def a_raised_number(history: ScriptedHistory) -> None:
    """Have two wait when a job ends and leaves room for both."""
    holder = admitted(history)
    for _ in range(2):
        history.run(history.dispatch())
    history.limit(3)
    history.run(holder)


def a_sweep_that_is_cut_off(history: ScriptedHistory) -> None:
    """Have two wait beside new room in a line where nobody ends, and the sweep's worker killed."""
    admitted(history)
    for _ in range(2):
        history.run(history.dispatch())
    history.ask(lambda: limits.put(LIMITED, slots=3, sweep=True))
    history.world.time += SWEPT_AFTER
    with before(sweeping, "admit_waiting", lambda: history.world.kill("in its sweep")):
        history.world.tick()
    history.world.time += clock.MINUTE
    history.world.tick()


def note_and_sweep(changed: limits.LimitChange, *others: Any) -> None:
    """Note that a sweep is over, then do it."""
    limits.record_sweep_progress(changed, None)
    SWEEP(changed, *others)


def any_free_slot(line: Line) -> LineItem | None:
    """Return any free slot within the number in force: the highest."""
    in_force = line.limits.slots if line.limits is not None else None
    free = {*range(1, (in_force or 0) + 1)} - {slot.number for slot in line.held_slots}
    return LineItem(line.partition_key, f"slot#{max(free):03d}") if free else None


def look_once(admission_pass: admission._AdmissionPass) -> None:
    """Run an admission pass, and admit one at most."""
    admission_pass._try_step()


TWINS: list[tuple[Script, Any, str, Any, str]] = [
    (a_stale_claim, claiming, "conditional_write", WithoutAsRead(), "had slot 1, and now has 2"),
    (a_stale_hold, holding, "conditional_write", WithoutAsRead(), "which it has: it leaked"),
    (
        a_stale_cancel,
        caller_transitions,
        "conditional_write",
        WithoutAsRead(),
        "which it has: it leaked",
    ),
    (a_lowered_number, Line, "_free_slot", any_free_slot, "where there are 1"),
    (two_starts_at_once, line_items, "conditional_write", WithoutSame(), "2 were admitted in"),
    (messages_that_lie, lines, "count_start", lambda *_: True, "2 started in"),
    (a_raised_number, admission._AdmissionPass, "run", look_once, "has left"),
    (a_sweep_that_is_cut_off, sweeping, "_sweep", note_and_sweep, "the sweep has left"),
]


@pytest.mark.parametrize(("script", "owner", "name", "twin", "says"), TWINS)
def test_it_notices_that_a_safeguard_is_gone(
    script: Script,
    owner: Any,
    name: str,
    twin: Any,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert played(script) == []
    monkeypatch.setattr(owner, name, twin)
    assert says in "\n".join(played(script))
