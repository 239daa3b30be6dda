"""The API Lambda: an HTTP request in, one call, its response out.

With JOB_RUNNER=legacy it does the work too, and takes messages about it as the worker does.
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

# A function that can't work fails at its start, and says why.
get_job_runner()
registry()

app = router.Router(ROUTES)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer one request of an HTTP API (payload format 2.0), or do the work of a message.

    No caller of the API can send a message: API Gateway puts each request into an event that has a
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
    """Do the work of a message. One that comes after the stack has got another runner goes to that
    runner's worker."""
    if settings().api_runs_work:
        _legacy_stack().begin(context, may_run=False)
        from handlers import worker  # which an API that only answers does without

        worker.handler(event, context)
        return
    send = runners.sender()
    if send is None:
        raise RuntimeError("the runner that JOB_RUNNER names has no send(): nothing can be done")
    send(decode(event))


def _legacy_stack() -> Any:
    from runners import legacy_stack  # which other runners do without

    return legacy_stack


snapshot.register("dynamodb", "lambda", "sqs", "s3")
handlers.loaded()
