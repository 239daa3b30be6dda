"""The worker process of the legacy runner in a simulated Lambda.

It runs at the same time as the functions, as in a stack that changes its runner. It can be killed
like an invocation.
"""

import json
from collections.abc import Callable
from typing import Any

from job_runners import clock
from job_runners.engine.lines import wake_ups
from job_runners.engine.running.execution import run
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, Message, QueueMessage, decode, encode
from job_runners.runners import legacy_worker
from job_runners.store.conditional_write import GRACE

_RunFunction = Callable[[str, Any, Callable[[Any, Any], Any], float], object]

_LIFETIME = 900.0  # seconds that the process may run


def poll(run_function: _RunFunction, job_seconds: float) -> None:
    """Query the due rows once, and run each job in a child for at most `job_seconds`."""

    def run_in_child(message: Message, delay: float = 0) -> None:
        if isinstance(message, QueueMessage):
            wake_ups.make_first_due(message, delay)
        elif delay == 0:
            run_function("worker", json.loads(encode(message)), _child, job_seconds)

    def take(_body: Any, _context: Any) -> None:
        timer.send_next(run_in_child, early_by=GRACE, page_size=legacy_worker._ROWS_PER_PAGE)

    run_function("timer", None, take, _LIFETIME)


def _child(body: Any, context: Any) -> None:
    deadline = clock.now() + context.get_remaining_time_in_millis()
    run(decode(body), deadline=deadline, send=_send)


def _send(message: Message, delay: float = 0) -> None:
    """Make a line due. The next invocation or attempt of a job is already due in the table."""
    if isinstance(message, QueueMessage):
        wake_ups.make_first_due(message, delay)
        return
    assert isinstance(message, JobMessage), "jobs of histories dispatch no tasks"
