"""Answers of the API that the local AWS would not give, for tests of the dashboard."""

import json
import re
from typing import Any

from playwright.sync_api import Page, Request, Route

JOB = {
    "id": "a" * 32,
    "job_type": "count_words",
    "status": "failed",
    "cancel_requested": False,
    "progress": 40,
    "result_message": "400 of 1,000",
    "error": {"kind": "ValueError", "message": "no luck", "traceback": "line 1"},
    "organization_id": "default",
    "queue_name": "default",
    "attempt": 3,
    "max_attempts": 3,
    "invocations": 5,
    "created_at": "2026-11-24T12:00:00.000Z",
    "queued_at": "2026-11-24T12:00:00.000Z",
    "run_at": "2026-11-24T12:10:00.000Z",
    "attempt_started_at": "2026-11-24T12:10:01.000Z",
    "started_at": "2026-11-24T12:25:00.000Z",
    "finished_at": "2026-11-24T12:30:01.000Z",
    "updated_at": "2026-11-24T12:30:01.000Z",
    "expires_at": "2026-12-24T12:30:01.000Z",
    "request_id": None,
    "created_by": "operator:user-1",
    "requeued_by": None,
    "canceled_by": None,
    "parent_id": None,
    "group": None,
    "follow_up_of": None,
    "on_end": None,
    "on_failure": None,
    "follow_ups": [],
    "earlier_errors": [],
    "payload": {},
    "result": None,
    "notes": [],
}


def answer(page: Page, path: str, value: Any, status: int = 200, **headers: str) -> list[Request]:
    """Answer calls of this path so; the calls made. A job has no children, no place in line,
    and as long as it runs no log, unless a test says so."""
    calls: list[Request] = []

    def fulfill(route: Route) -> None:
        calls.append(route.request)
        sent = {name.replace("_", "-"): each for name, each in headers.items()}
        route.fulfill(
            status=status, headers={"Content-Type": "application/json", **sent},
            body=value if isinstance(value, str) else json.dumps(value),
        )  # fmt: skip

    page.route(lambda url: _is_about(url, path), fulfill)
    if re.fullmatch("/jobs/[0-9a-f]{32}", path):
        _answer_at(page, f"{path}/children", {"children": [], "cursor": None})
        _answer_at(page, f"{path}/groups", {"groups": []})
        _answer_at(
            page, f"{path}/timeline", {"records": [], "acts": [], "gaps": [], "complete": True}
        )
        _answer_at(page, f"{path}/place", {"waits_for": None, "ahead": None})
        if isinstance(value, dict) and value.get("status") == "running":
            _answer_at(page, f"{path}/logs", {"lines": [], "complete": True})
    return calls


def _answer_at(page: Page, path: str, value: Any) -> None:
    page.route(lambda url: _is_about(url, path), lambda route: route.fulfill(json=value))


def _is_about(url: str, path: str) -> bool:
    return url.split("?")[0].endswith(path)
