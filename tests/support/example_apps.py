"""The folder of examples, and an application on Lambda in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api_events import request
from job_runners.places import ROOT

EXAMPLES = ROOT / "examples"
CONTEXT = object()  # what Lambda hands over beside the event


@dataclass(frozen=True)
class FastApiApp:
    """The application on Lambda, behind API Gateway."""

    handler: Callable[[dict[str, Any], object], dict[str, Any]]

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """Return status and JSON of an answer. `key` is the Idempotency-Key of the request."""
        headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
        answer = self.handler(request(method, path, body=body, headers=headers), CONTEXT)
        return answer["statusCode"], json.loads(answer["body"])
