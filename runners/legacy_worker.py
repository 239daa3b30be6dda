"""The worker process of the legacy runner. It runs saved jobs, oldest first, one at a time.

Each job runs in a child process that is killed at the deadline. So an expired lease means the same
as on Lambda: the worker that claimed the job is gone. This process also does the timer's work. It
starts the occurrences of schedules in a thread, because it is busy while a job runs.
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

_CHECK_INTERVAL = 30.0  # seconds between checks of the schedules
_MAX_CHECK_TIME = 60.0  # seconds that such a check may take
_POLL_INTERVAL = 1.0  # seconds between checks of the jobs when none is due
_ROWS_PER_PAGE = 25  # read from a shard at a time; one isn't enough, as it may need no message
_PRELOAD = ["job_runners.engine.running.execution", "job_runners.engine.registry.registry"]


def main() -> None:
    """Run jobs until SIGINT or SIGTERM. The current job is finished first."""
    for variable in ("JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME"):
        required(variable, "python -m job_runners.runners.legacy")
    registry().resolve_all()  # find invalid definitions now, not at the first job
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    telemetry.logger.info("worker process started")
    schedules = threading.Thread(target=start_occurrences, args=[stop], daemon=True)
    schedules.start()
    work(stop)
    schedules.join(_MAX_CHECK_TIME)
    telemetry.logger.info("worker process stopped")


def work(stop: threading.Event) -> None:
    """Run due jobs until `stop` is set."""
    children = _children()

    def run_in_child(message: Message) -> None:
        if not stop.is_set():
            _run_in_child(children, message)

    send = sender(run_in_child)
    while not stop.is_set():
        try:
            counts = timer.send_next(send, early_by=GRACE, page_size=_ROWS_PER_PAGE)
            sent = counts[timer.Disposition.SENT] + counts[timer.Disposition.ADMITTED]
        except Exception as error:  # noqa: BLE001 - DynamoDB may be down; a later check may work
            telemetry.crashed(error)
            sent = 0
        if not sent:
            stop.wait(_POLL_INTERVAL)


def start_occurrences(stop: threading.Event) -> None:
    """Start due occurrences of schedules until `stop` is set.

    Their jobs are saved and due, so `work` runs them like any other job.
    """
    while not stop.wait(_CHECK_INTERVAL):
        try:
            until = clock.now() + int(_MAX_CHECK_TIME * clock.SECOND)
            recurring.start_due(lambda message, delay=0: None, until=until)
        except Exception as error:  # noqa: BLE001 - DynamoDB may be down; a later check may work
            telemetry.crashed(error)


def sender(run_in_child: Callable[[Message], None]) -> Send:
    """Return a `send` that runs a message's work in a child process.

    It ignores a delayed message about a job, because `work` runs the job when its row is due.
    """

    def send(message: Message, delay: float = 0) -> None:
        if isinstance(message, QueueMessage):
            wake_ups.make_first_due(message, delay)
        elif delay == 0:
            run_in_child(message)

    return send


def _run_in_child(children: ForkServerContext, message: Message) -> None:
    seconds = settings().job_timeout_seconds
    deadline = clock.now() + seconds * clock.SECOND
    child = children.Process(target=_child, args=(encode(message), deadline))
    child.start()
    child.join(seconds)
    if child.is_alive():
        child.kill()
        child.join()
        telemetry.logger.error("killed at its deadline", extra={"after_s": seconds})
        _settle(message, f"its process was killed after {seconds} s")
    elif child.exitcode:
        _settle(message, f"its process ended with {_describe(child.exitcode)}")


def _settle(message: Message, how: str) -> None:
    """Settle the work of a child process that has died, as the failures function does on AWS.

    If AWS doesn't answer, the row says that the job runs until its lease is over.
    """
    record = {
        "requestPayload": json.loads(encode(message)),
        "responsePayload": {"errorMessage": how},
    }
    try:
        failure_records.handle_record(record, sender(lambda _: None))
    except Exception as error:  # noqa: BLE001 - the timer recovers the job after its lease
        telemetry.left_for_later(error)


def _describe(exit_code: int) -> str:
    if exit_code > 0:
        return f"exit code {exit_code}"
    return f"signal {signal.Signals(-exit_code).name}"


def _child(text: bytes, deadline: int) -> None:
    # These signals reach the whole process group, but the current job must be finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log.set_up()
    # End this process at the deadline, even if the parent is gone.
    alarm = threading.Timer((deadline - clock.now()) / clock.SECOND, os._exit, [1])
    alarm.daemon = True
    alarm.start()
    tasks = _Tasks(deadline)
    run(decode(text), deadline=deadline, send=tasks.send)
    tasks.run_delayed()


class _Tasks:
    """Runs the tasks that a job dispatches. They aren't stored, so they run in its process."""

    def __init__(self, deadline: int) -> None:
        self._deadline = deadline
        self._delayed: list[tuple[int, TaskMessage]] = []  # with their start times

    def send(self, message: Message, delay: float = 0) -> None:
        """Run a task before returning, or keep it for `run_delayed` if it has a delay.

        So a job waits until its tasks without a delay have run, and succeeds only then. A message
        about a job is ignored, because the worker process runs the job's next invocation or attempt
        when its row is due.
        """
        if isinstance(message, QueueMessage):
            wake_ups.make_first_due(message, delay)
        if not isinstance(message, TaskMessage):
            return
        if delay > 0:
            self._delayed.append((clock.now() + int(delay * clock.SECOND), message))
        else:
            # In a thread, the job's alarms don't interrupt the task, and its log lines don't get
            # the job's fields.
            thread = threading.Thread(target=Context().run, args=[self._run, message])
            thread.start()
            thread.join()

    def run_delayed(self) -> None:
        """Run the delayed tasks. Give up those that would start after the deadline."""
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


def _children() -> ForkServerContext:
    """Return the context that creates child processes.

    It forks them from a server process that has imported all modules and has no connections.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOAD, *registry().modules()])
    return context
