"""The runner for a single machine. Work runs in this process or in a separate worker process.

The command `python -m job_runners.runners.legacy` starts the worker process.
"""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import cache
from typing import Any

from job_runners import clock
from job_runners.engine.dispatch import dispatch
from job_runners.engine.lines import wake_ups
from job_runners.engine.running.execution import run
from job_runners.engine.telemetry import log, telemetry
from job_runners.engine.wire.messages import Message, QueueMessage, TaskMessage, decode, encode
from job_runners.engine.wire.sending import MAX_MESSAGE_DELAY, Accepted, Send
from job_runners.errors import JobRunnersError
from job_runners.runners import legacy_stack
from job_runners.runners.base import JobData
from job_runners.runners.lease import renewing_lease
from job_runners.settings import required, settings

_RUNNER = "JOB_RUNNER=legacy"
_THREADS = 4


class FrozenOnLambda(JobRunnersError):
    """These settings would make work run after the response, when Lambda freezes the process."""

    def __init__(self, setting: str) -> None:
        super().__init__(
            f"on Lambda the legacy runner needs {setting}=true, because "
            "Lambda freezes the process, and its work, after the response"
        )


def fully_configured() -> bool:
    """Return True if the settings name the tables and, on Lambda, work runs before the response.

    Raises MissingSetting or FrozenOnLambda otherwise.
    """
    required("JOBS_TABLE_NAME", _RUNNER)
    required("COORDINATION_TABLE_NAME", _RUNNER)
    if settings().on_lambda:
        if settings().jobs_same_process and not settings().jobs_sync:
            raise FrozenOnLambda("JOBS_SYNC")
        if not settings().tasks_sync:
            raise FrozenOnLambda("TASKS_SYNC")
    if settings().worker_classes:
        telemetry.worker_classes_ignored()
    return True


def dispatch_job(job_data: JobData) -> Accepted:
    """Save the job, then run it here if JOBS_SAME_PROCESS. Return the row as it was saved.

    With JOBS_SYNC, the job runs before this returns.
    """
    return dispatch.dispatch_job(job_data, _send_function())


def dispatch_task(task_name: str, payload: Any) -> str:
    """Run the task here, and return its id. With TASKS_SYNC, it runs before this returns."""
    return dispatch.dispatch_task(task_name, payload, _send_function())


def _send_function() -> Send:
    return legacy_stack.run_or_send if settings().api_runs_work else send


def send(message: Message, delay: float = 0) -> None:
    """Run a message's work in this process. In a deployed stack, send it to the API function.

    Delayed work waits in a thread. If this process ends before that work starts, a job is still
    due, but a task is lost.
    """
    if settings().api_runs_work:
        legacy_stack.send(message, delay)
        return
    is_task = isinstance(message, TaskMessage)
    uses_worker_process = not settings().jobs_same_process or delay > MAX_MESSAGE_DELAY
    if uses_worker_process and not is_task:
        if isinstance(message, QueueMessage):
            wake_ups.make_first_due(message, delay)
        return  # the worker process finds the row when it is due
    # Convert the message to JSON and back, so that work gets the same values as on Lambda.
    message = decode(encode(message))
    runs_in_this_thread = settings().tasks_sync if is_task else settings().jobs_sync
    # In other threads, the work doesn't get the caller's context.
    if delay > 0:
        timer = threading.Timer(delay, Context().run, [_run_here, message])
        timer.daemon = True
        timer.start()
    elif runs_in_this_thread:
        _run_here(message)
    else:
        _threads().submit(Context().run, _run_here, message)


class _Inbox(threading.local):
    """The messages that this thread has not yet handled.

    The thread handles its messages one after the other. A job may send a message for its own next
    invocation, and this invocation must not run inside the current one.
    """

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.is_running = False


_inbox = _Inbox()


def _run_here(message: Message) -> None:
    _inbox.messages.append(message)
    if _inbox.is_running:
        return  # a call of this function further up the stack runs it next
    _inbox.is_running = True
    try:
        while _inbox.messages:
            _run_work(_inbox.messages.popleft())
    finally:
        _inbox.is_running = False


def _run_work(message: Message) -> None:
    deadline = clock.now() + settings().job_timeout_seconds * clock.SECOND
    # Elsewhere, the program that dispatches jobs decides how it logs.
    if settings().on_lambda:
        log.set_up()
    try:
        with renewing_lease(message, deadline):
            run(message, deadline=deadline, send=send)
    except Exception as error:  # noqa: BLE001 - on Lambda, the event would fail here
        telemetry.crashed(error)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="job")


if __name__ == "__main__":
    from job_runners.runners.legacy_worker import main

    main()
