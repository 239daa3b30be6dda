"""How a job waits: the steps that record a wait, and the signals that end its leg.

A leg that comes to a wait reads the stored state, because a message is only a hint. If the wait
isn't over, the job waits again.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from job_runners import clock
from job_runners.errors import RunnerCannotResend
from job_runners.store import verbs
from job_runners.work.errors import StepNameTaken, WaitTooLong
from job_runners.work.signals import Waits

# The functions take a RunningJob. It isn't imported, because it imports the module of its waits.
_Job = Any

# A wait must end before the items expire that it relies on: see docs/control.md.
LONGEST = 90 * clock.DAY  # milliseconds
_LATEST = 150 * clock.DAY  # after the job's work began


class Asleep(Waits):
    """The job waits until a time, in milliseconds since 1970."""

    def __init__(self, name: str, until: int) -> None:
        super().__init__(name)
        self.name = name
        self.until = until


def sleep(job: _Job, name: str, seconds: float) -> None:
    """Wait for this many seconds, counted from the first call."""
    _sleep(job, name, lambda: _end_of(job, name, seconds))


def sleep_until(job: _Job, name: str, time: datetime) -> None:
    """Wait until this time."""
    if time.utcoffset() is None:
        raise ValueError(f"{time} has no time zone. Pass a time such as datetime.now(UTC).")
    _sleep(job, name, lambda: _end_of(job, name, time.timestamp() - clock.now() / clock.SECOND))


def _sleep(job: _Job, name: str, end: Callable[[], int]) -> None:
    _take_name(job, f"sleep {name}", name)
    until: int = job._once("name of the wait", "sleep ", name, end)
    left = until - clock.now()
    if left > verbs.CLAIM_TOLERANCE:
        _need_next_leg(job)
        raise job._signal(Asleep(name, until))
    if left > 0:  # a worker may start the leg a little early
        clock.sleep(left / clock.SECOND)


def _end_of(job: _Job, name: str, seconds: float) -> int:
    """Return when a wait ends that begins now. Raises WaitTooLong."""
    now = clock.now()
    latest = min(now + LONGEST, (job._row.begun_at or job._row.created_at) + _LATEST)
    if math.isnan(seconds) or seconds * clock.SECOND > latest - now:
        raise WaitTooLong(name, seconds, max(0, latest - now) // clock.DAY)
    return now + math.ceil(max(0, seconds) * clock.SECOND)


def _take_name(job: _Job, key: str, name: str) -> None:
    """Note that a wait's name is used in this leg. Raises StepNameTaken."""
    if key in job._steps:
        raise StepNameTaken(name, what="wait")
    job._steps.add(key)


def _need_next_leg(job: _Job) -> None:
    if not job._has_next_leg:
        raise RunnerCannotResend(job._row.job_type, "waits in its function")
