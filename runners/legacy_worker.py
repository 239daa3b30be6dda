"""The worker process of the legacy runner: takes saved jobs, oldest first, one at a time.

It is the timer too. Each job runs in a child that is killed at the deadline, so a lease that has
run out means here what it means on Lambda: whoever held it is gone.
"""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.context import ForkServerContext

from errors import SendFailed
from runners import log, timer
from runners.execution import run
from runners.messages import Message, TaskMessage, decode, encode
from runners.registry import registry
from settings import required, settings
from store import clock
from store.change import GRACE

_SENT = timer.Met.SENT
_POLL = 1.0  # seconds between looks when there is nothing to do
_PRELOAD = ["runners.execution", "runners.registry", "jobs.table", "tasks.table"]


def main() -> None:
    """Work until SIGINT or SIGTERM; the job at hand is finished first."""
    for variable in ("JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME"):
        required(variable, "python -m runners.legacy")
    registry()  # a table that can't work is an error now, not at the first job
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    log.logger.info("worker process started")
    work(stop)
    log.logger.info("worker process stopped")


def work(stop: threading.Event) -> None:
    """Take jobs until told to stop."""
    children = _children()

    def run_in_child(message: Message, delay: float = 0) -> None:
        if delay == 0 and not stop.is_set():  # what has to wait is due at its time: found then
            _run_in_child(children, message)

    while not stop.is_set():
        try:
            met = timer.tick(run_in_child, until=_forever(), ahead=GRACE, sends=1).met
            sent = met[_SENT] + met[timer.Met.LET_GO]
        except Exception as error:  # noqa: BLE001 - DynamoDB is away, say: the next look may work
            log.crashed(error)
            sent = 0
        if not sent:
            stop.wait(_POLL)


def _run_in_child(children: ForkServerContext, message: Message) -> None:
    seconds = settings().job_timeout_seconds
    deadline = clock.now() + seconds * clock.SECOND
    child = children.Process(target=_child, args=(encode(message), deadline))
    child.start()
    child.join(seconds)
    if child.is_alive():
        child.kill()
        child.join()
        log.logger.error("killed at its deadline", extra={"after_s": seconds})


def _child(text: bytes, deadline: int) -> None:
    # These reach the whole process group: the job at hand is finished all the same.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Whatever becomes of the parent, nothing of this job goes on beyond its deadline.
    end = threading.Timer((deadline - clock.now()) / clock.SECOND, os._exit, [1])
    end.daemon = True
    end.start()
    tasks = _Tasks()
    run(decode(text), deadline=deadline, send=tasks.send)
    tasks.run(deadline)


class _Tasks:
    """The tasks that a job has dispatched: they run after it, in its child, for nothing else holds
    them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, TaskMessage]] = []

    def send(self, message: Message, delay: float = 0) -> None:
        """Keep a task. The next leg or attempt of a job is in the table, due: no message has to say
        so."""
        if isinstance(message, TaskMessage):
            self._waiting.append((clock.now() + int(delay * clock.SECOND), message))

    def run(self, deadline: int) -> None:
        """Run what is kept, retries too, as far as there is time for it."""
        while self._waiting:
            self._waiting.sort(key=lambda kept: kept[0])
            at, task = self._waiting.pop(0)
            if at >= deadline:
                late = SendFailed(f"task {task.id} ({task.name})", "its worker process ends before")
                log.task_failed(task, late)
                continue
            time.sleep(max(0, at - clock.now()) / clock.SECOND)
            run(task, deadline=deadline, send=self.send)


def _children() -> ForkServerContext:
    """Children start warm: forked from a server that has imported everything, connected nowhere."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _forever() -> int:
    return clock.now() + clock.DAY
