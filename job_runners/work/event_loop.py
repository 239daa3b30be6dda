"""Run an `async def` job or task in its own event loop, and clean up the loop afterwards.

From here on, "task" means a task of asyncio, and "function" means the function of the job. The
*main task* runs the function. An *interrupt*, such as TimeOverInterrupt, is an exception that ends
the job's invocation. It always ends the main task, even if another task raises it. When the job's
time is over, the *alarm*, a timer signal, *rings*. It rings again every _RING_INTERVAL seconds.

The module avoids these traps of asyncio:

- If a task raises a BaseException, asyncio keeps it until the task is awaited. A TaskGroup wraps it
  in an exception group, and a callback drops it.
- A BaseException in the loop's own code stops the loop in the middle of a run.
- `asyncio.run` waits forever for a thread, or for a task that suppresses its cancellation.

Only `async def` jobs and tasks import this module, because it imports asyncio.
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
from job_runners.work.interrupts import Interrupt, TimeOverInterrupt
from job_runners.work.running_job import RunningJob

# How many seconds a canceled function gets to end before the loop is stopped. The remaining tasks
# then get the same time. Both fit into the time that is reserved for recording the outcome.
_CANCEL_TIMEOUT = 1.0
_RING_INTERVAL = 0.1  # seconds between rings of the alarm, after its first ring
# The loop calls each callback in this code. So it is on the call stack while a callback runs.
_CALL_CALLBACK_CODE = asyncio.Handle._run.__code__

_Coroutine = Coroutine[Any, Any, Any]
_logger = logging.getLogger("job_runners.work.event_loop")


def run(coroutine: _Coroutine, job: RunningJob | None = None) -> Any:
    """Run the coroutine and return its result.

    If the coroutine raises an exception, this raises it too. Otherwise, if any task raised an
    interrupt, this raises the first one. Outside the main thread, where no alarm rings, the loop
    ends the coroutine when the job's time is over. At the end, remaining tasks are canceled and
    asynchronous generators are closed, but threads of `asyncio.to_thread` are left running.
    """
    if not _has_loop():
        return _Run(job).run(coroutine)
    return _call_in_thread(lambda: _Run(job).run(coroutine))  # a thread can have only one loop


def _has_loop() -> bool:
    """Return whether a loop runs in this thread."""
    # This is a function so that no caller runs a coroutine in the `except` block. The tracebacks of
    # the coroutine's errors would then include this RuntimeError.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Run:
    """The run of one coroutine in its own loop."""

    def __init__(self, job: RunningJob | None) -> None:
        self._job = job
        self._loop = _new_loop()
        self._thread = threading.get_ident()
        self._main_task: asyncio.Task[Any] | None = None
        self._first_interrupt: BaseException | None = None  # the first one raised in any task
        self._first_ring_at: float | None = None  # when the alarm first rang
        self._is_stopped = False  # whether _stop_loop has stopped the loop
        self._has_ended = False  # whether the main task has ended. Then interrupts change nothing.

    def run(self, coroutine: _Coroutine) -> Any:
        """Run the coroutine and end the loop."""
        runner = asyncio.Runner(loop_factory=lambda: self._loop)
        with on_alarm(self._handle_alarm):
            if self._job is not None:
                self._job.on_interrupt = self._end_main_task
            try:
                return self._run_main_task(runner, coroutine)
            finally:
                if self._main_task is None:
                    coroutine.close()  # it never started
                self._clean_up(runner)

    def _run_main_task(self, runner: asyncio.Runner, coroutine: _Coroutine) -> Any:
        """Return the coroutine's result. Raise its own error, or the first interrupt.

        An interrupt is raised even if the coroutine has suppressed it and returned a result.
        """
        try:
            result = runner.run(self._run_with_timeout(coroutine))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # An Exception is the function's own error, unless the loop was stopped. Then asyncio
            # raises a RuntimeError.
            is_from_function = isinstance(error, Exception) and not self._is_stopped
            if self._first_interrupt is None or is_from_function:
                raise
            raise self._first_interrupt from None
        finally:
            self._has_ended = True
        if self._first_interrupt is not None:
            raise self._first_interrupt
        return result

    async def _run_with_timeout(self, coroutine: _Coroutine) -> Any:
        """Await the coroutine. Outside the main thread, where no alarm rings, limit its time."""
        self._main_task = asyncio.current_task()
        if self._job is not None and not in_main_thread():
            self._loop.call_later(self._job.time_left(), self._time_out)
        return await coroutine

    # --- interrupts -------------------------------------------------------------------------------

    def _end_main_task(self, interrupt: BaseException) -> None:
        """End the main task, because a method of the job is about to raise an interrupt.

        The method may run in any task or thread. If it runs in the main task, do nothing, because
        the interrupt itself will end that task. Otherwise, cancel the main task.
        """
        if self._has_ended:
            return
        self._first_interrupt = self._first_interrupt or interrupt
        is_in_other_thread = threading.get_ident() != self._thread
        if is_in_other_thread:
            self._loop.call_soon_threadsafe(self._cancel_main_task)
        elif asyncio.current_task(self._loop) is not self._main_task:
            self._cancel_main_task()

    def _cancel_main_task(self) -> None:
        if self._main_task is not None and not self._has_ended:
            self._main_task.cancel()

    def _time_out(self) -> None:
        self._end_main_task(TimeOverInterrupt())
        self._loop.call_later(_CANCEL_TIMEOUT, self._stop_loop)

    def _stop_loop(self) -> None:
        if not self._has_ended:
            self._is_stopped = True
            self._loop.stop()

    def _handle_alarm(self, frame: FrameType) -> None:
        """Handle a ring of the alarm.

        Every ring cancels the main task. From the second ring on, raise TimeOverInterrupt in the
        code of the job that blocks the loop. After _CANCEL_TIMEOUT, stop the loop if the alarm has
        not interrupted such code.
        """
        now = time.monotonic()
        is_first_ring = self._first_ring_at is None
        if self._first_ring_at is None:
            self._first_ring_at = now
            signal.setitimer(signal.ITIMER_REAL, _RING_INTERVAL, _RING_INTERVAL)
            self._first_interrupt = self._first_interrupt or TimeOverInterrupt()
        self._cancel_main_task()
        is_late = now - self._first_ring_at >= _CANCEL_TIMEOUT
        if _is_in_work(frame, include_c=is_late) and not is_first_ring:
            raise TimeOverInterrupt
        if is_late:
            self._stop_loop()
        if not self._loop.is_closed():
            # The loop may be waiting for I/O. This empty call wakes it up.
            self._loop.call_soon_threadsafe(lambda: None)

    # --- clean up ---------------------------------------------------------------------------------

    def _clean_up(self, runner: asyncio.Runner) -> None:
        """End the remaining tasks and close the loop."""
        try:
            # If the alarm rings here (TimeOverInterrupt), or has stopped the loop (RuntimeError),
            # give up on the remaining tasks.
            with suppress(TimeOverInterrupt, RuntimeError):
                runner.run(self._end_all())
        finally:
            self._abandon(asyncio.all_tasks(self._loop))

    async def _end_all(self) -> None:
        """Cancel all tasks and close all asynchronous generators. Some may not end."""
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in tasks:
            task.cancel()
        await self._await_end(tasks)
        await self._await_end({self._loop.create_task(self._loop.shutdown_asyncgens())})

    async def _await_end(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Wait up to _CANCEL_TIMEOUT seconds for tasks to end, and report their errors."""
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                context = {"message": "a task failed as its job ended", "task": task}
                self._loop.call_exception_handler(context | {"exception": error})

    def _abandon(self, remaining: set[asyncio.Task[Any]]) -> None:
        """Log the tasks that didn't end although they were canceled. Close the loop and them."""
        for task in remaining:
            _logger.error("abandoned a task that suppresses its cancellation: %r", task)
        self._loop.close()
        for task in remaining:
            coroutine = task.get_coro()
            with suppress(RuntimeError):  # the coroutine suppressed its GeneratorExit too
                if asyncio.iscoroutine(coroutine):
                    coroutine.close()


class _Threads(ThreadPoolExecutor):
    """The threads of `asyncio.to_thread`. The loop doesn't wait for them: one may hang forever."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Start no more calls. The threads end after their current call."""
        super().shutdown(wait=False, cancel_futures=True)


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Threads(thread_name_prefix="job"))
    loop.set_exception_handler(_report)
    return loop


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that no code has handled, as asyncio does, unless it is an interrupt."""
    if not isinstance(context.get("exception"), Interrupt):
        loop.default_exception_handler(context)


def _is_in_work(interrupted_frame: FrameType, *, include_c: bool) -> bool:
    """Return whether the alarm interrupted code of the job, and not the loop's code or ours.

    A callback that is written in C has no frame. If `include_c`, also return True if the loop may
    be calling such a callback.
    """
    if include_c and interrupted_frame.f_code is _CALL_CALLBACK_CODE:
        return True
    # Walk up the call stack to the loop's code that calls callbacks. The frame just below it is the
    # callback that the loop is calling.
    callback: FrameType | None = None
    frame: FrameType | None = interrupted_frame
    while frame is not None and frame.f_code is not _CALL_CALLBACK_CODE:
        callback = frame
        frame = frame.f_back
    if frame is None or callback is None:
        return False
    return not any(callback.f_code is own.__code__ for own in _OUR_CALLBACKS)


# The callbacks of this module, which `_is_in_work` must not take for code of the job.
_OUR_CALLBACKS = (_Run._end_all, _Run._cancel_main_task, _Run._time_out, _Run._stop_loop, _report)


def _call_in_thread(call: Callable[[], Any]) -> Any:
    """Run a call in a new thread with this thread's context, and return its result."""
    results: list[Any] = []
    errors: list[BaseException] = []
    context = contextvars.copy_context()

    def call_in_context() -> None:
        try:
            results.append(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=call_in_context)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
