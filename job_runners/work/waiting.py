"""How a job waits: the steps that record a wait, and the interrupts that end its invocation.

A wait relies only on its stored state. The message that started the invocation is only a hint.
If the wait isn't over, the job waits again.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from job_runners import clock
from job_runners.errors import RunnerCannotResend
from job_runners.names import check_signal_name
from job_runners.settings import settings
from job_runners.store import signals, steps, transitions
from job_runners.store.answer_links import AnswerLink
from job_runners.store.groups import Group
from job_runners.store.signals import Signal
from job_runners.store.transactions import RaceLost
from job_runners.store.transitions import waits
from job_runners.work.errors import StepNameTaken, TooManyNames, WaitTimedOut, WaitTooLong
from job_runners.work.interrupts import ClaimLostInterrupt, WaitInterrupt

# A RunningJob. It isn't imported, because its module imports `waits`, which uses this module.
_Job = Any

# A wait must end before the items that it relies on expire: see docs/build/waits.md.
LONGEST = 90 * clock.DAY  # milliseconds
_LATEST = 150 * clock.DAY  # after the job's work began
_MOST_NAMES = 20  # signals of one wait


class SleepInterrupt(WaitInterrupt):
    """The job waits until a time, in milliseconds since 1970."""

    def __init__(self, name: str, until: int) -> None:
        super().__init__(name)
        self.name = name
        self.until = until


class SignalWaitInterrupt(WaitInterrupt):
    """The job waits for any of these signals until a time, in milliseconds since 1970."""

    def __init__(self, name: str, names: list[str], until: int) -> None:
        super().__init__(name)
        self.name = name
        self.names = names
        self.until = until


class GroupWaitInterrupt(WaitInterrupt):
    """The job waits for its group, whose members it began to dispatch at `since`.

    The group may take until `until`, shortly before the row of its first member can expire.
    """

    def __init__(self, name: str, group: Group, since: int, stop_after: int | None) -> None:
        super().__init__(name)
        self.name = name
        self.group = group
        self.since = since
        self.until = since + _longest_group()
        self.stop_after = stop_after


def _longest_group() -> int:
    """Return how long a group may take, in milliseconds."""
    retention = settings().retention_days * clock.DAY
    return min(max(retention // 2, retention - clock.DAY), LONGEST)


def sleep(job: _Job, name: str, seconds: float) -> None:
    """Wait for this many seconds, counted from the first call."""
    _sleep(job, name, lambda: end_of(job, name, seconds))


def sleep_until(job: _Job, name: str, time: datetime) -> None:
    """Wait until this time."""
    if time.utcoffset() is None:
        raise ValueError(f"{time} has no time zone. Pass a time such as datetime.now(UTC).")
    _sleep(job, name, lambda: end_of(job, name, time.timestamp() - clock.now() / clock.SECOND))


def _sleep(job: _Job, name: str, end: Callable[[], int]) -> None:
    take_name(job, f"sleep {name}", name)
    until: int = job._run_once("name of the wait", "sleep ", name, end)
    left = until - clock.now()
    if left > transitions.CLAIM_TOLERANCE:
        require_next_invocation(job)
        raise job._interrupt(SleepInterrupt(name, until))
    if left > 0:  # a worker may start the invocation a little early
        clock.sleep(left / clock.SECOND)


def wait_for(job: _Job, name: str, timeout: float) -> Any:
    """Return the value of a signal. Raises WaitTimedOut."""
    check_signal_name(name)
    take_name(job, f"wait {name}", name)
    found: Signal | None = job._keep_trying(lambda: signals.find(job._row, name))
    if found is None:
        until: int = job._run_once(
            "name of the wait", "wait ", name, lambda: end_of(job, name, timeout)
        )
        if clock.now() < until:
            _await(job, name, [name], until)
        record(job, signals.new_timeout(job._row, name))
        found = job._keep_trying(lambda: signals.find(job._row, name))
    if found is None or found.timed_out:
        raise WaitTimedOut(name)
    return job._keep_trying(lambda: found.result)


def wait_for_any(job: _Job, names: Sequence[str], timeout: float, label: str) -> tuple[str, Any]:
    """Return the name and the value of the first of these signals. Raises WaitTimedOut."""
    for name in (label, *names):
        check_signal_name(name)
    if not 1 <= len(set(names)) <= _MOST_NAMES:
        raise TooManyNames(len(set(names)), _MOST_NAMES)
    take_name(job, f"any {label}", label)
    recorded = job._keep_trying(lambda: steps.find(job._row, f"any {label}"))
    winner = _first_of(job, names, timeout, label) if recorded is None else recorded.result
    if winner is None:
        raise WaitTimedOut(label)
    come: Signal = job._keep_trying(lambda: signals.find(job._row, winner))
    return winner, job._keep_trying(lambda: come.result)


def _first_of(job: _Job, names: Sequence[str], timeout: float, label: str) -> str | None:
    """Record and return the first of these signals that has come, or None if the time is over.

    The record comes before the return, so that each invocation continues with the same signal.
    """
    found: dict[str, Signal] = job._keep_trying(lambda: signals.find_all(job._row, set(names)))
    come = [name for name in names if name in found and not found[name].timed_out]
    if not come:
        until: int = job._run_once(
            "label of the wait", "wait-any ", label, lambda: end_of(job, label, timeout)
        )
        can_come = [name for name in dict.fromkeys(names) if name not in found]
        if can_come and clock.now() < until:
            _await(job, label, can_come, until)
        record(job, steps.new(job._row, f"any {label}", None))
    winner: str | None = job._run_once("label of the wait", "any ", label, lambda: come[0])
    return winner


def _await(job: _Job, name: str, names: list[str], until: int) -> None:
    require_next_invocation(job)
    raise job._interrupt(SignalWaitInterrupt(name, names, until))


def record(job: _Job, *records: Signal | steps.Step | AnswerLink) -> None:
    """Store records together, unless the first is there. Raises ClaimLostInterrupt.

    They need this job's claim, so that an invocation that was overtaken doesn't write them.
    """
    try:
        job._keep_trying(lambda: waits.record(job._row, *records))
    except RaceLost as lost:
        if not any(each.record is records[0] for each in lost.refused):
            raise job._interrupt(ClaimLostInterrupt(str(lost))) from lost


def end_of(job: _Job, name: str, seconds: float) -> int:
    """Return the end of a wait that begins now. Raises WaitTooLong."""
    now = clock.now()
    latest = min(now + LONGEST, (job._row.begun_at or job._row.created_at) + _LATEST)
    if math.isnan(seconds) or seconds * clock.SECOND > latest - now:
        raise WaitTooLong(name, seconds, max(0, latest - now) // clock.DAY)
    return now + math.ceil(max(0, seconds) * clock.SECOND)


def take_name(job: _Job, key: str, name: str, what: str = "wait") -> None:
    """Note that a name is used in this invocation. Raises StepNameTaken."""
    if key in job._steps:
        raise StepNameTaken(name, what=what)
    job._steps.add(key)


def require_next_invocation(job: _Job, need: str = "waits in its function") -> None:
    """Raise RunnerCannotResend if the job can't continue after a wait."""
    if not job._can_start_invocation:
        raise RunnerCannotResend(job._row.job_type, need)
