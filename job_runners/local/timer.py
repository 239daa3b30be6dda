"""Run the timer of the local AWS at once, not at the next minute."""

from job_runners.cli.stack import Stack
from job_runners.local.credentials import session
from job_runners.places import DATA


def tick(stack: Stack) -> None:
    """Run the timer now. It stores the schedules that the code declares."""
    lambda_ = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    lambda_.invoke(
        FunctionName=stack.timer_function_name,
        InvocationType="Event",
        Payload=(DATA / "events" / "timer_minute.json").read_bytes(),
    )
