"""The API function: answers HTTP requests.

With JOB_RUNNER=legacy, it also runs jobs and tasks, and accepts the worker's messages.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import handlers
import runners
from api import access, router
from api.routes.table import ROUTES
from handlers import snapshot
from runners import get_job_runner, tracing
from runners.messages import decode
from runners.registry import registry
from settings import settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# If the settings or the app's code are wrong, these calls fail at the start, with the reason.
get_job_runner()
registry()

app = router.Router(ROUTES)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request of an HTTP API (payload format 2.0), or handle a message.

    Callers of the API can't send messages, because API Gateway's events always have a
    `requestContext`.
    """
    if "requestContext" not in event:
        _take_message(event, context)
        return {}
    if settings().api_runs_work:
        _legacy_stack().begin(context, may_run=True)
    verified = bool(event["requestContext"].get("authorizer"))
    trusted = settings().traces and access.is_of_service(event)
    headers = event.get("headers", {})
    with router.about(event), tracing.request(headers, verified=verified, trusted=trusted):
        return app.answer(event)


def _take_message(event: Mapping[str, Any], context: "LambdaContext") -> None:
    """Handle a message. If the stack now has another runner, send the message to its worker."""
    if settings().api_runs_work:
        _legacy_stack().begin(context, may_run=False)
        from handlers import worker  # imported here because other runners don't need it

        worker.handler(event, context)
        return
    send = runners.sender()
    if send is None:
        raise RuntimeError("The runner in JOB_RUNNER has no send(), so messages can't be handled.")
    send(decode(event))


def _legacy_stack() -> Any:
    from runners import legacy_stack  # imported here because other runners don't need it

    return legacy_stack


snapshot.register("dynamodb", "lambda", "sqs", "s3")
handlers.loaded()
