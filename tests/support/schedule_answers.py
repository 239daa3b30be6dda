"""Answers of the API about schedules, for tests of their page."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from faked_answers import JOB, answer

NOW = "2026-11-24T13:00:00Z"
DAYS = [f"2026-11-{day}T01:00:00.000Z" for day in range(25, 30)]
LAST = {"at": "2026-11-24T01:00:00.000Z", "job_id": "a" * 32}


def schedule(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "organization_id": "default", "origin": "api", "declared": False,
        "job_type": "make_report", "cron": "0 2 * * *", "every": None,
        "timezone": "Europe/Berlin", "words": "at 02:00 every day, Europe/Berlin",
        "missed": "one", "overlap": "skip", "next": DAYS[:1], "waits": False, "last": None,
        "last_skipped_at": None, "last_skipped_why": None, "last_failed_at": None,
        "retrying": False, "error": None, "started": 0, "skipped": 0, "failed": 0,
        "paused_at": None, "paused_by": None, "created_at": NOW, "created_by": None,
        "updated_at": NOW, "updated_by": None, **changes,
    }  # fmt: skip


SCHEDULES = [
    schedule("broken", retrying=True, error={"kind": "QueueFull", "message": "the queue is full"}),
    schedule("declared", origin="code", declared=True, last={**LAST, "job": None}),
    schedule("failing", last={**LAST, "job": {**JOB, "status": "failed"}}),
    schedule("<b>hostile</b>", words="every hour", next=[]),
    schedule("hides", declared=True),
    schedule("removed", origin="code"),
    schedule("soon", next=["2026-11-24T13:05:00.000Z"]),
    schedule(
        "paused", next=[], paused_at="2026-11-24T09:00:00Z", paused_by="operator:ada",
        last={**LAST, "job": {**JOB, "status": "succeeded", "error": None}},
        last_skipped_at="2026-11-24T12:00:00Z", last_skipped_why="the one before it still ran",
    ),
]  # fmt: skip


def schedules_page(page: Page, dashboard: str) -> None:
    """Open the page of schedules, with faked answers."""
    page.clock.install(time=NOW)
    answer(page, "/schedules", {"schedules": SCHEDULES, "cursor": "further"})
    page.goto(f"{dashboard}#/schedules")
    expect(row(page, "broken")).to_be_visible()


def row(page: Page, name: str) -> Locator:
    named = page.locator("td.what").get_by_text(name, exact=True)
    return page.get_by_role("row").filter(has=named)
