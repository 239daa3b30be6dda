"""Interrupts a call when its time is over, by the operating system's timer.

Python delivers signals to the main thread alone: elsewhere the alarm never rings, and a job that
overstays is dealt with by whoever ends the process.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from work.signals import TimeOver

# Seconds between rings: Python drops what is raised in a destructor, and a bare except takes it.
_AGAIN = 1.0
# Functions that take or give back a lock. What is raised in one after the lock was taken, and
# before its `with` knows of it, leaves it taken for good. The import system has one for the whole
# process: no other thread could import any more.
_OF_LOCKS = frozenset(
    {"__enter__", "__exit__", "acquire", "release", "_acquireLock", "_releaseLock"}
)
_IMPORT_SYSTEM = "<frozen importlib"
_SOON = 0.005  # seconds
# Such a function takes microseconds. One that is still there after so many seconds is another of
# the same name, a job's own for instance, or waits for a lock that it has not got.
_LONGEST_WAIT = 1.0


class _Alarm:
    """What the signal handler looks at: state of the main thread, for there is one alarm."""

    armed = False
    deferred = 0  # writes of ours under way
    rang = False  # while deferred
    answer: Callable[[FrameType], None] | None = None  # what it does instead of raising TimeOver
    waits_until: float | None = None  # since it found a lock being taken: when it waits no longer


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeOver in the block once `seconds` have passed. Never rings after the block."""
    if not in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    _Alarm.armed, _Alarm.rang, _Alarm.waits_until = True, False, None
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _AGAIN)
        yield
    finally:
        try:
            _disarm(before)
        except TimeOver:  # it rang on the way here, and must not again
            _disarm(before)
            raise


@contextmanager
def defer_alarm() -> Iterator[None]:
    """Let no alarm ring inside the block; one that would have rings at its end.

    For our own writes: nobody knows whether one that was interrupted was applied.
    """
    if not in_main_thread():
        yield
        return
    _Alarm.deferred += 1
    try:
        yield
    finally:
        _Alarm.deferred -= 1
        if _Alarm.rang and not _Alarm.deferred and _Alarm.armed:
            _Alarm.rang = False
            _end(sys._getframe())


@contextmanager
def answered_by(answer: Callable[[FrameType], None]) -> Iterator[None]:
    """In the block, let an alarm that rings call this, with the frame that it rang in, instead of
    raising TimeOver: for an event loop, which must not be left half run."""
    if not in_main_thread():
        yield
        return
    before, _Alarm.answer = _Alarm.answer, answer
    try:
        yield
    finally:
        _Alarm.answer = before


def in_main_thread() -> bool:
    """Return whether this is the thread that an alarm can ring in."""
    return threading.current_thread() is threading.main_thread()


def _disarm(before: Any) -> None:
    _Alarm.armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _ring(_signal: int, frame: FrameType | None) -> None:
    if _Alarm.deferred:
        _Alarm.rang = True
    elif _Alarm.armed:
        if frame is not None and _takes_a_lock(frame.f_code) and _may_wait():
            signal.setitimer(signal.ITIMER_REAL, _SOON, _AGAIN)
        else:
            _Alarm.waits_until = None
            _end(frame)


def _end(frame: FrameType | None) -> None:
    if _Alarm.answer is None or frame is None:
        raise TimeOver
    _Alarm.answer(frame)


def _takes_a_lock(code: CodeType) -> bool:
    return code.co_name in _OF_LOCKS or code.co_filename.startswith(_IMPORT_SYSTEM)


def _may_wait() -> bool:
    now = time.monotonic()
    if _Alarm.waits_until is None:
        _Alarm.waits_until = now + _LONGEST_WAIT
    return now < _Alarm.waits_until
