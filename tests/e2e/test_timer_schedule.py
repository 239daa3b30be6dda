"""The minute that runs the timer. Named to come late: it takes a minute from the deploy."""

import time

import pytest

from local_stack import Local
from stack_clients import session

pytestmark = pytest.mark.e2e


def test_the_timer_is_run_by_its_schedule(local: Local) -> None:
    functions = session(local.stack).client("lambda", endpoint_url=local.stack.endpoint_url)
    logs = session(local.stack).client("logs", endpoint_url=local.stack.endpoint_url)
    timer = functions.get_function_configuration(FunctionName=local.stack.timer_function_name)
    group = timer["LoggingConfig"]["LogGroup"]

    def scheduled() -> bool:
        events = logs.filter_log_events(logGroupName=group, filterPattern="tick")["events"]
        return len(events) > len(local.ticks)

    deadline = time.monotonic() + 180
    while not scheduled() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert scheduled()
