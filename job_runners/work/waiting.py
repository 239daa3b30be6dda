"""Make a job wait: record the wait as a step, and raise an interrupt that ends the invocation.

Later, the job's function runs again from its start, in another invocation. When it makes the same
call again, the recorded steps and signals decide whether the wait is over. If it isn't, the job
waits again.
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

# A RunningJob. Importing it would be circular: its module imports job_runners.work.waits, which
# uses this module.
_Job = Any

# A wait must end before the table deletes its recorded steps and signals: see docs/build/waits.md.
MAX_FUNCTION_WAIT = 90 * clock.DAY
_MAX_TOTAL_TIME = 150 * clock.DAY  # from the beginning of the job's work to the end of a wait
_MAX_SIGNALS = 20  # the maximum number of signals that one `wait_for_any` may name
# How error messages refer to the name of a wait, and of a `wait_for_any`.
_NAME_NOUN = "name of the wait"
_LABEL_NOUN = "label of the wait"


class SleepInterrupt(WaitInterrupt):
    """The job waits until a time, in milliseconds since 1970."""

    def __init__(self, name: str, until: int) -> None:
        super().__init__(name)
        self.name = name
        self.until = until


class SignalWaitInterrupt(WaitInterrupt):
    """The job waits for any of these signals until a time, in milliseconds since 1970.

    `name` is the name of the wait.
    """

    def __init__(self, name: str, signal_names: list[str], until: int) -> None:
        super().__init__(name)
        self.name = name
        self.signal_names = signal_names
        self.until = until


class GroupWaitInterrupt(WaitInterrupt):
    """The job waits for the members of its group. It began to dispatch them at `since`.

    At `until`, the job fails, because the table may soon delete the first member's row. Once
    `stop_after` members have failed, the members that haven't started are canceled.
    """

    def __init__(self, name: str, group: Group, since: int, stop_after: int | None) -> None:
        super().__init__(name)
        self.name = name
        self.group = group
        self.since = since
        self.until = since + _max_group_time()
        self.stop_after = stop_after


def _max_group_time() -> int:
    """Return how long a group may take, so that no member's row expires before the group's end.

    This is the retention of rows minus a day, or half of the retention if that is longer.
    """
    retention = settings().retention_days * clock.DAY
    safe_time = max(retention // 2, retention - clock.DAY)
    return min(safe_time, MAX_FUNCTION_WAIT)


def sleep(job: _Job, name: str, seconds: float) -> None:
    """Wait for this many seconds, counted from the first invocation that makes this call."""
    _sleep(job, name, lambda: wait_end(job, name, seconds))


def sleep_until(job: _Job, name: str, time: datetime) -> None:
    """Wait until this time."""
    if time.utcoffset() is None:
        raise ValueError(f"{time} has no time zone. Pass a time such as datetime.now(UTC).")
    _sleep(job, name, lambda: wait_end(job, name, time.timestamp() - clock.now() / clock.SECOND))


def _sleep(job: _Job, name: str, compute_end: Callable[[], int]) -> None:
    """Return if the time has come. Otherwise raise SleepInterrupt.

    The first call stores what `compute_end` returns, and later calls use the stored time.
    """
    use_name(job, f"sleep {name}", name)
    until: int = job._run_once(name, compute_end, prefix="sleep ", noun=_NAME_NOUN)
    remaining = until - clock.now()
    if remaining > transitions.CLAIM_TOLERANCE:
        require_next_invocation(job)
        raise job._interrupt(SleepInterrupt(name, until))
    if remaining > 0:  # a worker may start the invocation a little early
        clock.sleep(remaining / clock.SECOND)


def wait_for(job: _Job, name: str, timeout: float) -> Any:
    """Return the value of a signal. Raises WaitTimedOut."""
    check_signal_name(name)
    use_name(job, f"wait {name}", name)
    signal: Signal | None = job._keep_trying(lambda: signals.find(job._row, name))
    if signal is None:
        until: int = job._run_once(
            name, lambda: wait_end(job, name, timeout), prefix="wait ", noun=_NAME_NOUN
        )
        if clock.now() < until:
            _raise_signal_wait(job, name, [name], until)
        # Store a timeout in the place of the signal. If the signal arrives at the same time, it may
        # be stored first. So read which of the two is stored.
        store_once(job, signals.new_timeout(job._row, name))
        signal = job._keep_trying(lambda: signals.find(job._row, name))
    if signal is None or signal.timed_out:
        raise WaitTimedOut(name)
    return job._keep_trying(lambda: signal.result)  # may read a large value from the bucket


def wait_for_any(job: _Job, names: Sequence[str], timeout: float, label: str) -> tuple[str, Any]:
    """Return the name and the value of the first of these signals. Raises WaitTimedOut."""
    for name in (label, *names):
        check_signal_name(name)
    if not 1 <= len(set(names)) <= _MAX_SIGNALS:
        raise TooManyNames(len(set(names)), _MAX_SIGNALS)
    use_name(job, f"any {label}", label)
    recorded = job._keep_trying(lambda: steps.find(job._row, f"any {label}"))
    winner = _choose_first(job, names, timeout, label) if recorded is None else recorded.result
    if winner is None:
        raise WaitTimedOut(label)
    signal: Signal = job._keep_trying(lambda: signals.find(job._row, winner))
    return winner, job._keep_trying(lambda: signal.result)


def _choose_first(job: _Job, names: Sequence[str], timeout: float, label: str) -> str | None:
    """Record and return the first of these signals that has arrived, or None after a timeout.

    If none has arrived and there is time left, raise an interrupt, so that the job waits. The
    choice is recorded before the function continues, so later invocations get the same signal.
    """
    stored: dict[str, Signal] = job._keep_trying(lambda: signals.find_all(job._row, set(names)))
    arrived = [name for name in names if name in stored and not stored[name].timed_out]
    if not arrived:
        until: int = job._run_once(
            label, lambda: wait_end(job, label, timeout), prefix="wait-any ", noun=_LABEL_NOUN
        )
        still_possible = [name for name in dict.fromkeys(names) if name not in stored]
        if still_possible and clock.now() < until:
            _raise_signal_wait(job, label, still_possible, until)
        # Record the timeout as None. Then `_run_once` finds this record, and doesn't call its
        # function.
        store_once(job, steps.new(job._row, f"any {label}", None))
    first: str | None = job._run_once(label, lambda: arrived[0], prefix="any ", noun=_LABEL_NOUN)
    return first


def _raise_signal_wait(job: _Job, name: str, signal_names: list[str], until: int) -> None:
    """Raise the interrupt that makes the job wait for signals, or RunnerCannotResend."""
    require_next_invocation(job)
    raise job._interrupt(SignalWaitInterrupt(name, signal_names, until))


def store_once(job: _Job, *records: Signal | steps.Step | AnswerLink) -> None:
    """Store records in one transaction. If the first one is already stored, do nothing.

    The transaction also checks that this invocation still has the claim, the right to run the job.
    Raises ClaimLostInterrupt if it doesn't.
    """
    try:
        job._keep_trying(lambda: waits.record(job._row, *records))
    except RaceLost as lost:
        is_stored = any(write.record is records[0] for write in lost.refused)
        if not is_stored:
            raise job._interrupt(ClaimLostInterrupt(str(lost))) from lost


def wait_end(job: _Job, name: str, seconds: float) -> int:
    """Return when a wait that begins now ends, in milliseconds since 1970. Raises WaitTooLong."""
    now = clock.now()
    work_began_at = job._row.begun_at or job._row.created_at
    latest = min(now + MAX_FUNCTION_WAIT, work_began_at + _MAX_TOTAL_TIME)
    if math.isnan(seconds) or seconds * clock.SECOND > latest - now:
        raise WaitTooLong(name, seconds, max(0, latest - now) // clock.DAY)
    return now + math.ceil(max(0, seconds) * clock.SECOND)


def use_name(job: _Job, step_name: str, name: str, noun: str = "wait") -> None:
    """Remember that this invocation uses a name. Raises StepNameTaken if it was used before."""
    if step_name in job._used_step_names:
        raise StepNameTaken(name, noun)
    job._used_step_names.add(step_name)


def require_next_invocation(job: _Job, reason: str = "waits in its function") -> None:
    """Raise RunnerCannotResend if the runner can't start another invocation after a wait.

    In the error message, `reason` follows the name of the job type.
    """
    if not job._can_start_invocation:
        raise RunnerCannotResend(job._row.job_type, reason)
