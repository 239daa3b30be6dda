"""The worker Lambda: an asynchronous event in, the work it asks for done.

What a runner of one's own has delivered in batches, by an event source, goes to its `handler`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import clock
import handlers
import runners
from aws import clients
from errors import UnknownMessageVersion
from handlers import snapshot
from runners import lambda_async, log_setup, telemetry, tracing
from runners.execution import run
from runners.messages import decode

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

log_setup.set_up()


def handler(event: Mapping[str, Any], context: "LambdaContext") -> Any:
    """Run what the event asks for; what it can't leave to later raises, and Lambda keeps it."""
    tracing.invoked(context.aws_request_id)
    clients.drop_idle_connections()  # they slept since the last invocation
    take = getattr(runners.get_job_runner(), "handler", None) if "Records" in event else None
    if take is not None:
        return take(event, context)
    try:
        message = decode(event)
    except UnknownMessageVersion as unknown:
        if event.get("kind") != "job":
            raise
        telemetry.left_for_later(unknown)  # its row stays due, and a newer deploy knows its version
        return None
    run(
        message,
        deadline=clock.now() + context.get_remaining_time_in_millis(),
        send=lambda_async.sender(context.invoked_function_arn),
    )
    return None


snapshot.register("dynamodb", "lambda", "sqs", "s3")
handlers.loaded()
