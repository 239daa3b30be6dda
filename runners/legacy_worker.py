"""The worker process of the legacy runner. It runs saved jobs, oldest first, one at a time.

Each job runs in a child process, which is killed at the job's deadline. A worker that claims a job
gets a *lease*, which expires after the deadline. So an expired lease means the same as on Lambda:
the worker is gone. This process also does the work of the timer function. It starts the occurrences
of schedules in a thread, because a running job blocks the main thread.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextvars import Context
from multiprocessing.context import ForkServerContext

from job_runners import clock
from job_runners.engine.lines import wake_ups
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import failure_records
from job_runners.engine.running.execution import run
from job_runners.engine.running.retrying import give_up_task
from job_runners.engine.schedules import recurring
from job_runners.engine.telemetry import log, telemetry
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import Message, QueueMessage, TaskMessage, decode, encode
from job_runners.engine.wire.sending import Send
from job_runners.errors import SendFailed
from job_runners.settings import required, settings
from job_runners.store.conditional_write import GRACE

_SCHEDULE_INTERVAL = 30.0  # seconds between checks of the schedules
_MAX_SCHEDULE_TIME = 60.0  # seconds that one of these checks may take
_POLL_INTERVAL = 1.0  # seconds between checks for due jobs while none is due
_ROWS_PER_PAGE = 25  # due rows to read at once; more than one, because some need no message
_ENGINE_MODULES = ["job_runners.engine.running.execution", "job_runners.engine.registry.registry"]


def main() -> None:
    """Run jobs until SIGINT or SIGTERM. Let the current job finish before the process stops."""
    for variable in ("JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME"):
        required(variable, "python -m job_runners.runners.legacy")
    registry().resolve_all()  # raises the errors of invalid definitions now, not at the first job
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    telemetry.logger.info("worker process started")
    schedules = threading.Thread(target=start_occurrences, args=[stop], daemon=True)
    schedules.start()
    work(stop)
    schedules.join(_MAX_SCHEDULE_TIME)
    telemetry.logger.info("worker process stopped")


def work(stop: threading.Event) -> None:
    """Run due jobs until `stop` is set."""
    processes = _process_context()

    def run_in_child(message: Message) -> None:
        if not stop.is_set():
            _run_in_child(processes, message)

    send = sender(run_in_child)
    while not stop.is_set():
        try:
            counts = timer.send_next(send, early_by=GRACE, page_size=_ROWS_PER_PAGE)
            job_count = counts[timer.Disposition.SENT] + counts[timer.Disposition.ADMITTED]
        except Exception as error:  # noqa: BLE001 - DynamoDB may be down; a later check may work
            telemetry.crashed(error)
            job_count = 0
        if job_count == 0:
            stop.wait(_POLL_INTERVAL)


def start_occurrences(stop: threading.Event) -> None:
    """Start due occurrences of schedules until `stop` is set.

    This only saves their jobs. `work` then finds these jobs due, like any others.
    """
    while not stop.wait(_SCHEDULE_INTERVAL):
        try:
            until = clock.now() + int(_MAX_SCHEDULE_TIME * clock.SECOND)
            recurring.start_due(_send_nothing, until=until)
        except Exception as error:  # noqa: BLE001 - DynamoDB may be down; a later check may work
            telemetry.crashed(error)


def _send_nothing(message: Message, delay: float = 0) -> None:
    pass


def sender(run_in_child: Callable[[Message], None]) -> Send:
    """Return a `send` that runs a message's work in a child process.

    It ignores a job's delayed message, because `work` runs the job when its row is due.
    """

    def send(message: Message, delay: float = 0) -> None:
        if isinstance(message, QueueMessage):
            wake_ups.make_first_due(message, delay)
        elif delay == 0:
            run_in_child(message)

    return send


def _run_in_child(processes: ForkServerContext, message: Message) -> None:
    seconds = settings().job_timeout_seconds
    deadline = clock.now() + seconds * clock.SECOND
    child = processes.Process(target=_run_child, args=(encode(message), deadline))
    child.start()
    child.join(seconds)
    if child.is_alive():
        child.kill()
        child.join()
        telemetry.logger.error("killed at its deadline", extra={"after_s": seconds})
        _record_death(message, f"its process was killed after {seconds} s")
    elif child.exitcode:
        _record_death(message, f"its process ended with {_describe(child.exitcode)}")


def _record_death(message: Message, how: str) -> None:
    """Record that a message's child process died, as the failures function does on AWS.

    If AWS doesn't answer, the job counts as running until its lease expires.
    """
    record = {
        "requestPayload": json.loads(encode(message)),
        "responsePayload": {"errorMessage": how},
    }
    try:
        failure_records.handle_record(record, sender(run_in_child=lambda _: None))
    except Exception as error:  # noqa: BLE001 - the timer recovers the job after its lease
        telemetry.left_for_later(error)


def _describe(exit_code: int) -> str:
    if exit_code > 0:
        return f"exit code {exit_code}"
    return f"signal {signal.Signals(-exit_code).name}"


def _run_child(encoded_message: bytes, deadline: int) -> None:
    # These signals reach the whole process group, but the current job must still finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log.set_up()
    # End this process at the deadline, even if the parent is gone.
    alarm = threading.Timer((deadline - clock.now()) / clock.SECOND, os._exit, [1])
    alarm.daemon = True
    alarm.start()
    tasks = _TaskRunner(deadline)
    run(decode(encoded_message), deadline=deadline, send=tasks.send)
    tasks.run_delayed()


class _TaskRunner:
    """Runs the tasks that a job dispatches, in the job's process, because they aren't stored."""

    def __init__(self, deadline: int) -> None:
        self._deadline = deadline
        self._delayed: list[tuple[int, TaskMessage]] = []  # start times and tasks

    def send(self, message: Message, delay: float = 0) -> None:
        """Run a task and return when it has ended, or keep a delayed task for `run_delayed`.

        So a job ends only after the tasks without a delay have ended. A message about a job is
        ignored, because the worker process finds the job when its row is due.
        """
        if isinstance(message, QueueMessage):
            wake_ups.make_first_due(message, delay)
        if not isinstance(message, TaskMessage):
            return
        if delay > 0:
            self._delayed.append((clock.now() + int(delay * clock.SECOND), message))
        else:
            # In a thread of its own, the task isn't interrupted by the job's alarms, and its log
            # lines don't contain the job's fields.
            thread = threading.Thread(target=Context().run, args=[self._run, message])
            thread.start()
            thread.join()

    def run_delayed(self) -> None:
        """Run the delayed tasks. Give up on those that would start after the deadline."""
        while self._delayed:
            self._delayed.sort(key=lambda start_and_task: start_and_task[0])
            start_at, task = self._delayed.pop(0)
            if max(start_at, clock.now()) >= self._deadline:
                error = SendFailed(task.title, "its worker process ends before that")
                give_up_task(task, error)
                continue
            time.sleep(max(0, start_at - clock.now()) / clock.SECOND)
            self.send(task)

    def _run(self, task: TaskMessage) -> None:
        try:
            run(task, deadline=self._deadline, send=self.send)
        except Exception as error:  # noqa: BLE001 - a task that can't begin must not end its job
            telemetry.crashed(error)


def _process_context() -> ForkServerContext:
    """Return a context that forks child processes from a server process.

    The server process has imported all modules, and has no connections.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_ENGINE_MODULES, *registry().modules()])
    return context
