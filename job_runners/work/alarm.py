"""Interrupt a call that takes too long, with a timer signal of the operating system.

The *alarm* rings when a job's time is over. Each ring raises an interrupt in the code that is
running. Python runs signal handlers only in the main thread. A job that runs too long in another
thread stops only when the process ends.
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

# Seconds between rings. One ring may not be enough: Python drops an exception that is raised in a
# destructor, and the job's bare `except:` catches it.
_RING_INTERVAL = 1.0
# Functions that acquire or release a lock. An exception between acquiring the lock and entering its
# `with` block would leave the lock held forever. If it were a lock of the import system, no other
# thread of the process could import anything.
_LOCK_FUNCTIONS = frozenset(
    {"__enter__", "__exit__", "acquire", "release", "_acquireLock", "_releaseLock"}
)
_IMPORT_SYSTEM = "<frozen importlib"
_LOCK_RETRY_DELAY = 0.005  # seconds until the alarm rings again if it rang in a lock function
# How many seconds the alarm waits for a lock function. Acquiring or releasing a lock takes
# microseconds. A function that takes this long is waiting for its lock, or is something else with
# one of these names, such as a job's own `acquire`.
_MAX_LOCK_TIME = 1.0


class _Alarm:
    """The state of the signal handler. There is only one alarm, in the main thread."""

    armed = False  # whether an `alarm` block is running
    deferrals = 0  # the number of `defer_alarm` blocks that are running
    rang_while_deferred = False
    handler: Callable[[FrameType], None] | None = None  # called instead of raising an interrupt
    waits_for_lock_until: float | None = None  # None if it doesn't wait for a lock function


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeOverInterrupt in the block after `seconds`, but never after the block."""
    if not in_main_thread():
        yield
        return
    old_handler = signal.signal(signal.SIGALRM, _ring)
    _Alarm.armed = True
    _Alarm.rang_while_deferred = False
    _Alarm.waits_for_lock_until = None
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _RING_INTERVAL)
        yield
    finally:
        try:
            _disarm(old_handler)
        except TimeOverInterrupt:  # the alarm rang before it was disarmed: disarm it now
            _disarm(old_handler)
            raise


@contextmanager
def defer_alarm() -> Iterator[None]:
    """If the alarm rings in the block, raise the interrupt only after the block.

    Our own writes need this, because it isn't known whether an interrupted write was applied.
    """
    if not in_main_thread():
        yield
        return
    _Alarm.deferrals += 1
    try:
        yield
    finally:
        _Alarm.deferrals -= 1
        if _Alarm.rang_while_deferred and not _Alarm.deferrals and _Alarm.armed:
            _Alarm.rang_while_deferred = False
            _interrupt(sys._getframe())


@contextmanager
def on_alarm(handler: Callable[[FrameType], None]) -> Iterator[None]:
    """If the alarm rings in the block, call `handler` with the frame that was running.

    An event loop needs this, because an interrupt would be raised in the loop's own code.
    """
    if not in_main_thread():
        yield
        return
    old_handler = _Alarm.handler
    _Alarm.handler = handler
    try:
        yield
    finally:
        _Alarm.handler = old_handler


def in_main_thread() -> bool:
    """Return whether this is the main thread, where an alarm can ring."""
    return threading.current_thread() is threading.main_thread()


def _disarm(old_handler: Any) -> None:
    _Alarm.armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old_handler)


def _ring(_signal: int, frame: FrameType | None) -> None:
    """Handle the timer's signal: interrupt the call, unless that must wait."""
    if _Alarm.deferrals:
        _Alarm.rang_while_deferred = True
    elif not _Alarm.armed:
        return
    elif frame is not None and _is_lock_function(frame.f_code) and _may_wait_for_lock():
        signal.setitimer(signal.ITIMER_REAL, _LOCK_RETRY_DELAY, _RING_INTERVAL)
    else:
        _Alarm.waits_for_lock_until = None
        _interrupt(frame)


def _interrupt(frame: FrameType | None) -> None:
    """Call the handler of `on_alarm` if there is one. Otherwise raise TimeOverInterrupt."""
    if _Alarm.handler is None or frame is None:
        raise TimeOverInterrupt
    _Alarm.handler(frame)


def _is_lock_function(code: CodeType) -> bool:
    return code.co_name in _LOCK_FUNCTIONS or code.co_filename.startswith(_IMPORT_SYSTEM)


def _may_wait_for_lock() -> bool:
    """Return whether the alarm may wait for a lock function to end.

    The first call begins the wait. Later calls return False after _MAX_LOCK_TIME.
    """
    now = time.monotonic()
    if _Alarm.waits_for_lock_until is None:
        _Alarm.waits_for_lock_until = now + _MAX_LOCK_TIME
    return now < _Alarm.waits_for_lock_until
