"""The timer of the local AWS, called at once instead of in the next minute."""

from job_runners.cli.stack import Stack
from local.credentials import session
from tools.build import ROOT


def tick(stack: Stack) -> None:
    """Have the timer run now: it stores the schedules that the code declares."""
    lambda_ = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    lambda_.invoke(
        FunctionName=stack.timer_function_name,
        InvocationType="Event",
        Payload=(ROOT / "events" / "timer_minute.json").read_bytes(),
    )
