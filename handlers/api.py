"""The API Lambda: an HTTP request in, one call, its response out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import handlers
from api import router
from api.routes.table import ROUTES
from handlers import snapshot
from runners import get_job_runner, tracing
from runners.registry import registry

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# A function that can't work fails at its start, and says why.
get_job_runner()
registry()

app = router.Router(ROUTES)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Answer one request of an HTTP API (payload format 2.0)."""
    verified = bool(event["requestContext"].get("authorizer"))
    with router.about(event), tracing.request(event.get("headers", {}), verified=verified):
        return app.answer(event)


snapshot.register("dynamodb", "lambda", "sqs", "s3")
handlers.loaded()
