"""The alarm that interrupts a job: when it rings, when it waits, what it never leaves behind."""

import importlib
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import pytest

import job_runners.work.alarm
from job_runners.work.alarm import alarm, defer_alarm, on_alarm
from job_runners.work.interrupts import TimeOverInterrupt


def test_the_alarm_rings_once_and_never_after_its_block() -> None:
    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        time.sleep(5)
    with alarm(0.02):
        pass
    time.sleep(0.05)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("when", [(signal, "setitimer"), (job_runners.work.alarm, "_disarm")])
def test_an_alarm_that_rings_while_it_is_set_or_stopped_is_not_left_on(
    monkeypatch: pytest.MonkeyPatch, when: tuple[ModuleType, str]
) -> None:
    do = getattr(*when)

    def ring_once(*arguments: Any) -> Any:
        monkeypatch.setattr(*when, do)
        if when[0] is signal:
            do(*arguments)
        signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(*when, ring_once)
    with pytest.raises(TimeOverInterrupt), alarm(60):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert not job_runners.work.alarm._Alarm.armed


def test_one_that_rings_once_its_block_has_ended_is_not_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_timer = signal.setitimer

    def ring_when_stopped(which: int, seconds: float, *again: float) -> None:
        if seconds == 0:
            signal.raise_signal(signal.SIGALRM)
        set_timer(which, seconds, *again)

    monkeypatch.setattr(signal, "setitimer", ring_when_stopped)
    with alarm(60):
        pass


def test_the_alarm_waits_for_a_write_of_ours() -> None:
    reached: list[str] = []

    def write() -> None:
        with defer_alarm():
            time.sleep(0.1)
            reached.append("written")
        reached.append("went on")

    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        write()
    assert reached == ["written"]


def test_an_alarm_that_rang_during_a_write_that_failed_is_heard_all_the_same() -> None:
    def write() -> None:
        with defer_alarm():
            time.sleep(0.1)
            raise OSError("the write failed")

    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        write()


def test_it_waits_for_the_outermost_of_two_writes() -> None:
    reached: list[str] = []

    def write() -> None:
        with defer_alarm():
            with defer_alarm():
                time.sleep(0.1)
            reached.append("written")
        reached.append("went on")

    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        write()
    assert reached == ["written"]


@pytest.mark.parametrize("around", [defer_alarm, lambda: on_alarm(lambda frame: None)])
def test_what_another_thread_does_about_alarms_is_its_own(
    around: Callable[[], AbstractContextManager[None]],
) -> None:
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with around():
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        time.sleep(1)
    over.set()
    thread.join()


def test_one_that_rang_in_a_write_is_forgotten_with_its_block() -> None:
    """A write may be all around it: work that is run where it is dispatched."""
    with defer_alarm(), alarm(0.02):
        time.sleep(0.1)


def test_no_lock_is_left_taken_by_an_alarm_that_rang_while_it_was_taken() -> None:
    lock = threading.Lock()

    class Guarded:
        """As Python's import lock is: taken by a function, which a signal may interrupt."""

        def __enter__(self) -> None:
            lock.acquire()
            time.sleep(0.05)

        def __exit__(self, *_: object) -> None:
            lock.release()

    with pytest.raises(TimeOverInterrupt), alarm(0.02), Guarded():
        time.sleep(5)
    assert not lock.locked()


def test_a_function_of_the_jobs_own_that_is_named_as_one_of_locks_is_interrupted() -> None:
    def acquire() -> None:
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        acquire()
    assert time.monotonic() - began < 30


def test_an_alarm_that_was_swallowed_rings_again() -> None:
    def swallow() -> None:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001 - as a destructor would, or a bare except
            time.sleep(60)

    began = time.monotonic()
    with pytest.raises(TimeOverInterrupt), alarm(0.02):
        swallow()
    assert time.monotonic() - began < 30


def test_in_a_thread_the_alarm_is_silent() -> None:
    outcome: list[str] = []

    def work() -> None:
        with alarm(0.01), defer_alarm():
            time.sleep(0.05)
        outcome.append("ended by itself")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == ["ended by itself"]


def test_an_import_that_is_interrupted_leaves_imports_to_other_threads() -> None:
    """For each of many moments: wherever it rings, another thread can import afterwards."""
    import colorsys

    def import_without_end() -> None:
        while True:
            importlib.reload(colorsys)

    for moment in range(60):
        with pytest.raises(TimeOverInterrupt), alarm(0.0005 + moment / 30_000):
            import_without_end()
        thread = threading.Thread(target=importlib.reload, args=[colorsys], daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
