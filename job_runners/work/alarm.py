"""Interrupt a call when its time is over, with the operating system's timer.

Python delivers signals only to the main thread, so the alarm never rings in another thread. There,
only the end of the process stops a job that runs too long.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from job_runners.work.interrupts import TimeOverInterrupt

# Seconds between rings. One ring isn't enough: Python drops an exception that is raised in a
# destructor, and a bare except catches it.
_RING_INTERVAL = 1.0
# Functions that acquire or release a lock. An exception after the lock is acquired, and before its
# `with` block begins, leaves the lock held forever. If that happened to a lock of the import
# system, no other thread of the process could import again.
_LOCK_FUNCTIONS = frozenset(
    {"__enter__", "__exit__", "acquire", "release", "_acquireLock", "_releaseLock"}
)
_IMPORT_SYSTEM = "<frozen importlib"
_SOON = 0.005  # seconds until the alarm rings again after it met such a function
# Seconds. A function that acquires or releases a lock takes microseconds. A function that takes
# this long either has a name in _LOCK_FUNCTIONS by chance, such as a job's own `acquire`, or is
# still waiting for the lock.
_LONGEST_WAIT = 1.0


class _Alarm:
    """The state of the signal handler. There is only one alarm, that of the main thread."""

    armed = False
    deferrals = 0  # number of open `defer_alarm` blocks, which our writes use
    rang = False  # whether it rang while it was deferred
    answer: Callable[[FrameType], None] | None = None  # called instead of raising TimeOverInterrupt
    waits_until: float | None = None  # end of the wait for a function that acquires a lock


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeOverInterrupt in the block after `seconds`.

    The alarm never rings after the block.
    """
    if not in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    _Alarm.armed, _Alarm.rang, _Alarm.waits_until = True, False, None
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _RING_INTERVAL)
        yield
    finally:
        try:
            _disarm(before)
        except TimeOverInterrupt:  # it rang before it was disarmed, and must not ring again
            _disarm(before)
            raise


@contextmanager
def defer_alarm() -> Iterator[None]:
    """Defer an alarm that rings in the block to the end of the block.

    Our own writes need this, because it is unknown whether an interrupted write was applied.
    """
    if not in_main_thread():
        yield
        return
    _Alarm.deferrals += 1
    try:
        yield
    finally:
        _Alarm.deferrals -= 1
        if _Alarm.rang and not _Alarm.deferrals and _Alarm.armed:
            _Alarm.rang = False
            _end(sys._getframe())


@contextmanager
def on_alarm(answer: Callable[[FrameType], None]) -> Iterator[None]:
    """If the alarm rings, call `answer` with the interrupted frame instead of raising an interrupt.

    An event loop needs this, because an exception would interrupt the loop's own code.
    """
    if not in_main_thread():
        yield
        return
    before, _Alarm.answer = _Alarm.answer, answer
    try:
        yield
    finally:
        _Alarm.answer = before


def in_main_thread() -> bool:
    """Return whether this is the main thread, where an alarm can ring."""
    return threading.current_thread() is threading.main_thread()


def _disarm(before: Any) -> None:
    _Alarm.armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _ring(_signal: int, frame: FrameType | None) -> None:
    if _Alarm.deferrals:
        _Alarm.rang = True
    elif _Alarm.armed:
        if frame is not None and _takes_a_lock(frame.f_code) and _may_wait():
            signal.setitimer(signal.ITIMER_REAL, _SOON, _RING_INTERVAL)
        else:
            _Alarm.waits_until = None
            _end(frame)


def _end(frame: FrameType | None) -> None:
    if _Alarm.answer is None or frame is None:
        raise TimeOverInterrupt
    _Alarm.answer(frame)


def _takes_a_lock(code: CodeType) -> bool:
    return code.co_name in _LOCK_FUNCTIONS or code.co_filename.startswith(_IMPORT_SYSTEM)


def _may_wait() -> bool:
    now = time.monotonic()
    if _Alarm.waits_until is None:
        _Alarm.waits_until = now + _LONGEST_WAIT
    return now < _Alarm.waits_until
