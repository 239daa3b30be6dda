"""The API function, which answers HTTP requests.

With JOB_RUNNER=legacy, it also runs jobs and tasks. It then gets the messages that otherwise go to
a worker.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

# Most requests need these two modules, so a process imports them before its first event.
import job_runners.api.routes.jobs
import job_runners.engine.dispatch.dispatch  # noqa: F401
from job_runners import handlers, runners
from job_runners.api import access, router
from job_runners.api.routes.table import ROUTES
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import tracing
from job_runners.engine.wire.messages import decode
from job_runners.engine.wire.sending import require_sender
from job_runners.handlers import snapshot
from job_runners.runners import get_job_runner
from job_runners.settings import settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# If a setting or the app's code is invalid, these calls fail at the start, with the reason.
get_job_runner()
registry()

app = router.Router(ROUTES)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request of an HTTP API (payload format 2.0), or handle a message.

    Callers of the API can't send messages, because API Gateway's events always have a
    `requestContext`.
    """
    if "requestContext" not in event:
        _handle_message(event, context)
        return {}
    if settings().api_runs_work:
        _legacy_stack().begin(context, may_run=True)
    verified = bool(event["requestContext"].get("authorizer"))
    trusted = settings().traces and access.is_from_service(event)
    headers = event.get("headers", {})
    with (
        router.request_context(event),
        tracing.request(headers, verified=verified, trusted=trusted),
    ):
        return app.answer(event)


def _handle_message(event: Mapping[str, Any], context: "LambdaContext") -> None:
    """Run the message's job or task. If the stack now has another runner, send it to a worker."""
    if settings().api_runs_work:
        _legacy_stack().begin(context, may_run=False)
        from job_runners.handlers import worker  # imported here because other runners don't need it

        worker.handler(event, context)
        return
    send = require_sender(runners.sender(), "the API", "passes this message on")
    send(decode(event))


def _legacy_stack() -> Any:
    # Imported here because other runners don't need it.
    from job_runners.runners import legacy_stack

    return legacy_stack


snapshot.register("dynamodb", "lambda", "sqs", "s3")
handlers.finish_loading()
