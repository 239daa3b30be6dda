"""The applications of examples/ in this process: called as their server calls them."""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from api_events import request
from job_runners import Client
from job_runners.building.build import ROOT

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


@dataclass
class DjangoApp:
    """A browser at the site."""

    views: ModuleType
    _browser: Any = field(init=False)

    def __post_init__(self) -> None:
        from django.test import Client as Browser

        self._browser = Browser(enforce_csrf_checks=True, headers={"host": "localhost"})

    def form(self) -> dict[str, str]:
        """Return the fields of the form as the page shows it."""
        return _fields(self.page("/exports/"))

    def send(self, form: dict[str, str]) -> Any:
        """Press the button; return what is answered."""
        return self._browser.post("/exports/", form)

    def page(self, path: str, status: int = 200) -> str:
        """Return a page."""
        answer = self._browser.get(path)
        assert answer.status_code == status, answer.content
        return str(answer.content.decode())


def _fields(page: str) -> dict[str, str]:
    inputs = re.findall(r"<input[^>]*>", page)
    attributes = [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each in inputs]
    return {each["name"]: unescape(each.get("value", "")) for each in attributes}


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


@pytest.fixture
def django_app(monkeypatch: pytest.MonkeyPatch) -> Callable[[], DjangoApp]:
    """Return what starts examples/django_app with a new client."""

    def start() -> DjangoApp:
        import django
        from django.conf import settings

        monkeypatch.syspath_prepend(EXAMPLES / "django_app")
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "website.settings")
        monkeypatch.setenv("DJANGO_SECRET_KEY", "of a test")
        django.setup()  # once: a process has one Django
        views = import_module("exports.views")
        monkeypatch.setattr(views, "client", Client(**settings.JOB_RUNNERS))
        return DjangoApp(views)

    return start
