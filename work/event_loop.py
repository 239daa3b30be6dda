"""Runs an `async def` job or task: in an event loop of its own, which nothing of it outlives.

What ends a job from outside reaches the function's main task, whichever of its tasks it came to: as
an exception where that task checkpoints itself, else as asyncio's own cancellation. Only jobs and
tasks that are `async def` import this module, and asyncio with it.

Traps that this avoids: asyncio keeps a BaseException that is raised in a task for whoever awaits
the task, a TaskGroup wraps it, and a callback drops it; raised in the loop's own code, it leaves
the loop half run; and `asyncio.run` waits for ever for a task that swallows its cancellation, or
for a thread.
"""

import asyncio
import contextvars
import logging
import signal as signals
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any

from work.alarm import answered_by, in_main_thread
from work.running_job import RunningJob
from work.signals import CancelAsked, ClaimLost, LegOver, Paused, TimeOver, TurnOver

# Seconds from the end of the time until the loop is stopped under a function that goes on all the
# same, and for each of its tasks to end that is left. Both fit into what is kept for an outcome.
_PATIENCE = 1.0
_AGAIN = 0.1  # seconds between two rings of the alarm, once it has rung
_SIGNALS = (CancelAsked, ClaimLost, LegOver, Paused, TimeOver, TurnOver)
_RUNS_HANDLE = asyncio.Handle._run.__code__

_Work = Coroutine[Any, Any, Any]
_logger = logging.getLogger("work.event_loop")


def run(coroutine: _Work, running: RunningJob | None = None) -> Any:
    """Return what the coroutine returns, or raise what it raises; a signal that came to any of its
    tasks is raised, unless the function ended in an error of its own.

    In a thread, where no alarm rings, its loop ends it when the job's time is over. Tasks that are
    left are cancelled, asynchronous generators closed, threads of `asyncio.to_thread` not waited
    for.
    """
    if not _has_loop():
        return _Run(running).run(coroutine)
    return _in_a_thread(lambda: _Run(running).run(coroutine))  # whoever dispatched it has a loop


def _has_loop() -> bool:
    """Return whether a loop runs in this thread."""
    # Work that ran inside the `except` would have this error in each of its tracebacks.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Run:
    """One coroutine and its loop."""

    def __init__(self, running: RunningJob | None) -> None:
        self._running = running
        self._loop = _new_loop()
        self._thread = threading.get_ident()
        self._main: asyncio.Task[Any] | None = None
        self._signal: BaseException | None = None  # the first that came to any task
        self._rang_at: float | None = None
        self._is_stopped = False
        self._is_over = False  # the function has ended: what comes now changes nothing

    def run(self, coroutine: _Work) -> Any:
        """Run the coroutine and end the loop."""
        runner = asyncio.Runner(loop_factory=lambda: self._loop)
        with answered_by(self._ring):
            if self._running is not None:
                self._running.on_signal = self._end
            try:
                return self._outcome(runner, coroutine)
            finally:
                if self._main is None:
                    coroutine.close()  # it never began
                self._wind_up(runner)

    def _outcome(self, runner: asyncio.Runner, coroutine: _Work) -> Any:
        try:
            result = runner.run(self._watch(coroutine))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            is_own = isinstance(error, Exception) and not self._is_stopped
            if self._signal is None or is_own:
                raise
            raise self._signal from None
        finally:
            self._is_over = True
        if self._signal is not None:
            raise self._signal
        return result

    async def _watch(self, coroutine: _Work) -> Any:
        self._main = asyncio.current_task()
        if self._running is not None and not in_main_thread():
            self._loop.call_later(self._running.time_left(), self._time_is_over)
        return await coroutine

    # --- what comes from outside ------------------------------------------------------------------

    def _end(self, signal: BaseException) -> None:
        """Have the function end by this signal, which is about to be raised by the job's own call,
        in any task or thread."""
        if self._is_over:
            return
        self._signal = self._signal or signal
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._cancel)
        elif asyncio.current_task(self._loop) is not self._main:
            self._cancel()  # the main task itself has it raised, and may clean up as it likes

    def _cancel(self) -> None:
        if self._main is not None and not self._is_over:
            self._main.cancel()

    def _time_is_over(self) -> None:
        self._end(TimeOver())
        self._loop.call_later(_PATIENCE, self._stop)

    def _stop(self) -> None:
        if not self._is_over:
            self._is_stopped = True
            self._loop.stop()

    def _ring(self, frame: FrameType) -> None:
        """Do what the alarm asks for. First the main task is cancelled; code that blocks the loop
        all the same is interrupted; if that does not help either, the loop stops."""
        now = time.monotonic()
        is_first = self._rang_at is None
        if self._rang_at is None:
            self._rang_at = now
            signals.setitimer(signals.ITIMER_REAL, _AGAIN, _AGAIN)
            self._signal = self._signal or TimeOver()
        self._cancel()
        is_late = now - self._rang_at >= _PATIENCE
        if _is_in_work(frame, of_c=is_late) and not is_first:
            raise TimeOver
        if is_late:
            self._stop()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: None)  # or it would sleep on

    # --- the loop's end ---------------------------------------------------------------------------

    def _wind_up(self, runner: asyncio.Runner) -> None:
        try:
            # Rung out of it, or the loop was stopped just before: what is left is given up.
            with suppress(TimeOver, RuntimeError):
                runner.run(self._end_all())
        finally:
            self._abandon(asyncio.all_tasks(self._loop))

    async def _end_all(self) -> None:
        """Cancel every task, close every asynchronous generator; some may go on all the same."""
        await self._cancelled(asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)})
        closing = self._loop.create_task(self._loop.shutdown_asyncgens())
        await self._cancelled({closing}, first=False)

    async def _cancelled(self, tasks: set[asyncio.Task[Any]], *, first: bool = True) -> None:
        """Wait for tasks to end, for as long as there is patience; report what they failed of."""
        for task in tasks if first else ():
            task.cancel()
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                about = {"message": "a task failed as its job ended", "task": task}
                self._loop.call_exception_handler(about | {"exception": error})

    def _abandon(self, left: set[asyncio.Task[Any]]) -> None:
        """Close the loop under tasks that don't end when they are cancelled."""
        for task in left:
            _logger.error("a task that swallows its cancellation was given up: %r", task)
        self._loop.close()
        for task in left:
            coroutine = task.get_coro()
            with suppress(RuntimeError):  # it swallows this too
                if asyncio.iscoroutine(coroutine):
                    coroutine.close()


class _Threads(ThreadPoolExecutor):
    """The threads of `asyncio.to_thread`. Nothing can end one that hangs: nobody waits."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Begin no more; the threads end once they have done what they are at."""
        super().shutdown(wait=False, cancel_futures=True)


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Threads(thread_name_prefix="job"))
    loop.set_exception_handler(_report)
    return loop


def _report(loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
    """Log what nobody has awaited, as asyncio does; the end of a leg is no error."""
    if not isinstance(about.get("exception"), _SIGNALS):
        loop.default_exception_handler(about)


def _is_in_work(rang_in: FrameType, *, of_c: bool) -> bool:
    """Return whether code that the loop has called is running, and not the loop's own or ours. What
    is written in C has no frame of its own: with `of_c` it counts wherever it may be running."""
    if of_c and rang_in.f_code is _RUNS_HANDLE:
        return True
    called: FrameType | None = None
    frame: FrameType | None = rang_in
    while frame is not None and frame.f_code is not _RUNS_HANDLE:
        called, frame = frame, frame.f_back
    return (
        frame is not None
        and called is not None
        and not any(called.f_code is each.__code__ for each in _OURS)
    )


_OURS = (_Run._end_all, _Run._cancel, _Run._time_is_over, _Run._stop, _report)


def _in_a_thread(call: Callable[[], Any]) -> Any:
    """Return what a call returns in a thread of its own, with the log's fields of this one."""
    ended: list[Any] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            ended.append((True, context.run(call)))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was called
            ended.append((False, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    returned, value = ended[0]
    if not returned:
        raise value
    return value
