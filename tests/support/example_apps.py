"""The applications of examples/ in this process: called as their server calls them."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

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


@pytest.fixture
def fastapi_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], FastApiApp]]:
    """Yield what starts examples/fastapi_app with the environment of that moment."""

    def start() -> FastApiApp:
        monkeypatch.syspath_prepend(EXAMPLES / "fastapi_app")
        monkeypatch.delitem(sys.modules, "main", raising=False)
        main = thread.submit(import_module, "main").result()
        monkeypatch.delitem(sys.modules, "main")
        return FastApiApp(lambda *event: thread.submit(main.handler, *event).result())

    loop = asyncio.new_event_loop()  # Mangum would make one, and leave it open
    # In the thread of the tests there may be one that runs, of Playwright.
    with ThreadPoolExecutor(1, initializer=asyncio.set_event_loop, initargs=(loop,)) as thread:
        yield start
    loop.close()
