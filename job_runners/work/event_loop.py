"""Run an `async def` job or task in its own event loop, and end everything in it afterwards.

An interrupt, such as TimeOverInterrupt, always ends the function's main task, even if it was raised
in another task. If the main task called the method that raises it, it is raised there. Otherwise,
asyncio cancels the main task. Only `async def` jobs and tasks import this module, and asyncio with
it.

The module avoids these traps of asyncio:

- asyncio keeps a task's BaseException until the task is awaited. A TaskGroup wraps it, and a
  callback drops it.
- A BaseException in the loop's own code leaves the loop in the middle of a run.
- `asyncio.run` waits forever for a thread, or for a task that suppresses its cancellation.
"""

import asyncio
import contextvars
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any

from job_runners.work.alarm import in_main_thread, on_alarm
from job_runners.work.interrupts import (
    CancelInterrupt,
    ClaimLostInterrupt,
    InvocationOverInterrupt,
    PauseInterrupt,
    TimeOverInterrupt,
    TurnOverInterrupt,
)
from job_runners.work.running_job import RunningJob

# When a function's time is over, it gets this many seconds to end before the loop is stopped.
# Remaining tasks then get the same time. Both fit into the time reserved for recording the outcome.
_PATIENCE = 1.0
_RING_INTERVAL = 0.1  # seconds between rings of the alarm, after its first ring
_INTERRUPTS = (
    CancelInterrupt,
    ClaimLostInterrupt,
    InvocationOverInterrupt,
    PauseInterrupt,
    TimeOverInterrupt,
    TurnOverInterrupt,
)
_HANDLE_RUN_CODE = asyncio.Handle._run.__code__

_Work = Coroutine[Any, Any, Any]
_logger = logging.getLogger("job_runners.work.event_loop")


def run(coroutine: _Work, job: RunningJob | None = None) -> Any:
    """Run the coroutine and return its result.

    Exceptions of the coroutine pass through. If an interrupt was raised in any of its tasks, this
    raises it again, unless the function ended with an error of its own. In a thread, where no alarm
    rings, the loop ends the function when the job's time is over. Remaining tasks are canceled,
    asynchronous generators are closed, and threads of `asyncio.to_thread` are left running.
    """
    if not _has_loop():
        return _Run(job).run(coroutine)
    return _in_a_thread(lambda: _Run(job).run(coroutine))  # the caller's thread has a loop


def _has_loop() -> bool:
    """Return whether a loop runs in this thread."""
    # Don't run the work inside the `except`: its tracebacks would include this error.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Run:
    """One coroutine and its loop."""

    def __init__(self, job: RunningJob | None) -> None:
        self._job = job
        self._loop = _new_loop()
        self._thread = threading.get_ident()
        self._main: asyncio.Task[Any] | None = None
        self._interrupt: BaseException | None = None  # the first one, in any task
        self._rang_at: float | None = None
        self._is_stopped = False
        self._is_over = False  # the function has ended, so later interrupts change nothing

    def run(self, coroutine: _Work) -> Any:
        """Run the coroutine and end the loop."""
        runner = asyncio.Runner(loop_factory=lambda: self._loop)
        with on_alarm(self._handle_alarm):
            if self._job is not None:
                self._job.on_interrupt = self._end
            try:
                return self._outcome(runner, coroutine)
            finally:
                if self._main is None:
                    coroutine.close()  # it never started
                self._wind_up(runner)

    def _outcome(self, runner: asyncio.Runner, coroutine: _Work) -> Any:
        try:
            result = runner.run(self._watch(coroutine))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # After a stop, asyncio itself raises RuntimeError.
            is_from_function = isinstance(error, Exception) and not self._is_stopped
            if self._interrupt is None or is_from_function:
                raise
            raise self._interrupt from None
        finally:
            self._is_over = True
        if self._interrupt is not None:
            raise self._interrupt
        return result

    async def _watch(self, coroutine: _Work) -> Any:
        self._main = asyncio.current_task()
        if self._job is not None and not in_main_thread():
            self._loop.call_later(self._job.time_left(), self._time_is_over)
        return await coroutine

    # --- interrupts -------------------------------------------------------------------------------

    def _end(self, interrupt: BaseException) -> None:
        """End the main task, because a method of the job is about to raise an interrupt in the
        current task or thread."""
        if self._is_over:
            return
        self._interrupt = self._interrupt or interrupt
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._cancel)
        elif asyncio.current_task(self._loop) is not self._main:
            self._cancel()  # not needed in the main task, where the method raises it

    def _cancel(self) -> None:
        if self._main is not None and not self._is_over:
            self._main.cancel()

    def _time_is_over(self) -> None:
        self._end(TimeOverInterrupt())
        self._loop.call_later(_PATIENCE, self._stop)

    def _stop(self) -> None:
        if not self._is_over:
            self._is_stopped = True
            self._loop.stop()

    def _handle_alarm(self, frame: FrameType) -> None:
        """Handle a ring of the alarm.

        The first ring cancels the main task. Later rings interrupt code that blocks the loop, and
        in the end stop the loop.
        """
        now = time.monotonic()
        is_first = self._rang_at is None
        if self._rang_at is None:
            self._rang_at = now
            signal.setitimer(signal.ITIMER_REAL, _RING_INTERVAL, _RING_INTERVAL)
            self._interrupt = self._interrupt or TimeOverInterrupt()
        self._cancel()
        is_late = now - self._rang_at >= _PATIENCE
        if _is_in_work(frame, include_c=is_late) and not is_first:
            raise TimeOverInterrupt
        if is_late:
            self._stop()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: None)  # wakes the loop up

    # --- the loop's end ---------------------------------------------------------------------------

    def _wind_up(self, runner: asyncio.Runner) -> None:
        try:
            # TimeOverInterrupt: the alarm rang here. RuntimeError: the loop was just stopped. Give
            # up on the remaining tasks.
            with suppress(TimeOverInterrupt, RuntimeError):
                runner.run(self._end_all())
        finally:
            self._abandon(asyncio.all_tasks(self._loop))

    async def _end_all(self) -> None:
        """Cancel all tasks and close all asynchronous generators. Some may not end."""
        await self._await_end(asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)})
        closing = self._loop.create_task(self._loop.shutdown_asyncgens())
        await self._await_end({closing}, cancel=False)

    async def _await_end(self, tasks: set[asyncio.Task[Any]], *, cancel: bool = True) -> None:
        """Wait up to _PATIENCE seconds for tasks to end, and report their errors.

        With `cancel`, cancel them first.
        """
        for task in tasks if cancel else ():
            task.cancel()
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                context = {"message": "a task failed as its job ended", "task": task}
                self._loop.call_exception_handler(context | {"exception": error})

    def _abandon(self, left: set[asyncio.Task[Any]]) -> None:
        """Close the loop, although some tasks didn't end when they were canceled."""
        for task in left:
            _logger.error("abandoned a task that suppresses its cancellation: %r", task)
        self._loop.close()
        for task in left:
            coroutine = task.get_coro()
            with suppress(RuntimeError):  # the coroutine suppressed its GeneratorExit too
                if asyncio.iscoroutine(coroutine):
                    coroutine.close()


class _Threads(ThreadPoolExecutor):
    """The threads of `asyncio.to_thread`. The loop doesn't wait for them, because a thread that
    hangs can't be ended."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Start no more calls. The threads end after their current call."""
        super().shutdown(wait=False, cancel_futures=True)


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Threads(thread_name_prefix="job"))
    loop.set_exception_handler(_report)
    return loop


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log the exception of a task that was never awaited, as asyncio does. Don't log an interrupt,
    such as InvocationOverInterrupt, which isn't an error."""
    if not isinstance(context.get("exception"), _INTERRUPTS):
        loop.default_exception_handler(context)


def _is_in_work(rang_in: FrameType, *, include_c: bool) -> bool:
    """Return whether the loop is running code of the job, and not its own code or ours.

    Code in C has no frame. With `include_c`, also return True if such code may be running.
    """
    if include_c and rang_in.f_code is _HANDLE_RUN_CODE:
        return True
    called: FrameType | None = None
    frame: FrameType | None = rang_in
    while frame is not None and frame.f_code is not _HANDLE_RUN_CODE:
        called, frame = frame, frame.f_back
    return (
        frame is not None
        and called is not None
        and not any(called.f_code is each.__code__ for each in _OURS)
    )


_OURS = (_Run._end_all, _Run._cancel, _Run._time_is_over, _Run._stop, _report)


def _in_a_thread(call: Callable[[], Any]) -> Any:
    """Run a call in a new thread with this thread's context, and return its result."""
    ended: list[Any] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            ended.append((True, context.run(call)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            ended.append((False, error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    returned, value = ended[0]
    if not returned:
        raise value
    return value
