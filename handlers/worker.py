"""The worker function. It runs the job or task of each asynchronous event.

If a custom runner adds an event source, such as a queue, the queue's batches go to the runner's
`handler`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from job_runners import clock, handlers, runners
from job_runners.aws import clients
from job_runners.engine.running.execution import run
from job_runners.engine.telemetry import log, telemetry, tracing
from job_runners.engine.wire.messages import decode
from job_runners.errors import UnknownMessageVersion
from job_runners.handlers import snapshot
from job_runners.runners import lambda_async

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

log.set_up()


def handler(event: Mapping[str, Any], context: "LambdaContext") -> Any:
    """Run the job or task of an event.

    If this raises an error, Lambda records that the event failed.
    """
    tracing.invoked(context.aws_request_id)
    clients.drop_idle_connections()  # they may have been closed since the last invocation
    if "Records" in event:
        handle_batch = getattr(runners.get_job_runner(), "handler", None)
        if handle_batch is not None:
            return handle_batch(event, context)
    try:
        message = decode(event)
    except UnknownMessageVersion as error:
        if event.get("kind") != "job":
            raise
        telemetry.left_for_later(error)  # the job's row stays due until newer code runs it
        return None
    if lambda_async.forward(message, context.invoked_function_arn):
        return None
    run(
        message,
        deadline=clock.now() + context.get_remaining_time_in_millis(),
        send=lambda_async.sender(context.invoked_function_arn),
    )
    return None


snapshot.register("dynamodb", "lambda", "sqs", "s3")
handlers.finish_loading()
