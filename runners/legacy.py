"""The runner for one machine: work runs in this process, or in a worker process beside it.

`python -m runners.legacy` is that worker process.
"""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import cache
from typing import Any

import clock
from errors import JobRunnersError
from runners import dispatch, legacy_stack, log_setup, telemetry, wake_ups
from runners.base import JobData
from runners.execution import run
from runners.lease import renewed
from runners.messages import Message, QueueMessage, TaskMessage, decode, encode
from runners.sending import LONGEST_DELAY, Send
from settings import required, settings
from store.job_request import JobRequest

_RUNNER = "JOB_RUNNER=legacy"
_THREADS = 4


class FrozenOnLambda(JobRunnersError):
    """Work that nobody waits for: Lambda freezes the process after a response, and it."""

    def __init__(self, setting: str) -> None:
        super().__init__(
            f"on Lambda the legacy runner needs {setting}=true: "
            "Lambda freezes the process once it has answered, and the work with it"
        )


def fully_configured() -> bool:
    """Return whether the tables are named and, on Lambda, nothing would run after the response."""
    required("JOBS_TABLE_NAME", _RUNNER)
    required("COORDINATION_TABLE_NAME", _RUNNER)
    if settings().on_lambda:
        if settings().jobs_same_process and not settings().jobs_sync:
            raise FrozenOnLambda("JOBS_SYNC")
        if not settings().tasks_sync:
            raise FrozenOnLambda("TASKS_SYNC")
    return True


def dispatch_job(job_data: JobData) -> JobRequest:
    """Save the job; then run it here (JOBS_SAME_PROCESS), before returning if JOBS_SYNC. Returns
    the row as it was saved."""
    return dispatch.dispatch_job(job_data, _dispatcher())


def dispatch_task(task_name: str, payload: Any) -> None:
    """Run the task here, before returning if TASKS_SYNC."""
    dispatch.dispatch_task(task_name, payload, _dispatcher())


def _dispatcher() -> Send:
    return legacy_stack.run_or_send if settings().api_runs_work else send


def send(message: Message, delay: float = 0) -> None:
    """Run a message here; in a deployed stack, have the API function run it. One with a delay waits
    in a thread: if this process ends meanwhile, a job is still due, and a task is lost."""
    if settings().api_runs_work:
        legacy_stack.send(message, delay)
        return
    is_job = not isinstance(message, TaskMessage)
    if is_job and (not settings().jobs_same_process or delay > LONGEST_DELAY):
        if isinstance(message, QueueMessage):
            wake_ups.leave_due(message, delay)
        return  # the worker process finds the row
    message = decode(encode(message))  # what works here must work through JSON, too
    if delay > 0:
        timer = threading.Timer(delay, Context().run, [_run_here, message])
        timer.daemon = True
        timer.start()
    elif settings().jobs_sync if is_job else settings().tasks_sync:
        _run_here(message)
    else:
        _threads().submit(Context().run, _run_here, message)  # not in that of who asks for it


class _Inbox(threading.local):
    """What a thread has still to run: the next leg must not run inside the one before it."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.busy = False


_inbox = _Inbox()


def _run_here(message: Message) -> None:
    _inbox.messages.append(message)
    if _inbox.busy:
        return
    _inbox.busy = True
    try:
        while _inbox.messages:
            _run_one(_inbox.messages.popleft())
    finally:
        _inbox.busy = False


def _run_one(message: Message) -> None:
    deadline = clock.now() + settings().job_timeout_seconds * clock.SECOND
    if settings().on_lambda:  # elsewhere this process and what it prints are somebody else's
        log_setup.set_up()
    try:
        with renewed(message, deadline):
            run(message, deadline=deadline, send=send)
    except Exception as error:  # noqa: BLE001 - stands where Lambda would record the failed event
        telemetry.crashed(error)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="job")


if __name__ == "__main__":
    from runners.legacy_worker import main

    main()
