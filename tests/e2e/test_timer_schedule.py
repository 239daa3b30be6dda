"""The minute that runs the timer. Named to come late: it takes a minute from the deploy."""

import pytest

from local_stack import Deployed
from supervised import until

pytestmark = pytest.mark.e2e


def test_the_timer_is_run_by_its_schedule(deployed: Deployed) -> None:
    logs, functions = deployed.client("logs"), deployed.client("lambda")
    name = deployed.stack.timer_function_name
    timer = functions.get_function_configuration(FunctionName=name)
    group = timer["LoggingConfig"]["LogGroup"]

    def scheduled() -> bool:
        events = logs.filter_log_events(logGroupName=group, filterPattern="tick")["events"]
        return len(events) > deployed.ticks

    until(scheduled, 180)
