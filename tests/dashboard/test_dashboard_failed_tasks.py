"""The page of failed tasks, in a browser: what it says, and a task sent again."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints
from failure_answers import KEPT, UNKEPT
from faked_answers import answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]


def opened(page: Page, dashboard: str, *tasks: dict[str, Any], cursor: str | None = None) -> None:
    """Open the page as it is with these failed tasks, an hour after they failed."""
    page.clock.install(time="2026-11-24T13:00:00Z")
    answer(page, "/tasks/failed", {"tasks": tasks, "cursor": cursor})
    page.goto(f"{dashboard}#/failed/tasks")


def test_each_says_why_it_failed_and_offers_to_be_sent_again_where_that_can_be(
    page: Page, dashboard: str
) -> None:
    opened(page, dashboard, KEPT, UNKEPT)
    kept, unkept = page.get_by_role("row").nth(1), page.get_by_role("row").nth(2)
    expect(kept).to_contain_text(
        re.compile("send_message.*Refused <b>no such</b> number.*3 attempts", re.DOTALL)
    )
    expect(kept).to_contain_text("60 min ago")
    kept.get_by_text("Payload").click()
    expect(kept.get_by_role("group", name="as JSON")).to_contain_text("Polls close at 8.")
    expect(kept.get_by_role("button", name="Resend send_message, 7a5c0000")).to_be_visible()
    expect(unkept.get_by_role("button")).to_have_count(0)
    expect(unkept).to_contain_text("worker large")
    expect(kept).not_to_contain_text("worker")
    expect(page.get_by_text("KeepTaskPayloads")).to_be_visible()
    expect(page.get_by_role("link", name="Failed")).to_have_attribute("aria-current", "page")
    tabs = page.get_by_role("navigation", name="Kind of work")
    expect(tabs.get_by_role("link", name="Tasks")).to_have_attribute("aria-current", "page")
    tabs.get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("region", name="Failed jobs")).to_be_visible()


def test_one_is_sent_again_once_the_person_has_said_yes(page: Page, dashboard: str) -> None:
    opened(page, dashboard, KEPT)
    path = f"/tasks/failed/{KEPT['id']}/redrive"
    sent = {"id": "8" * 32, "task_name": "send_message", "status": "sent"}
    calls = answer(page, path, sent, status=202)
    again = page.get_by_role("button", name="Resend send_message")
    again.click()
    dialog = page.get_by_role("dialog", name="Resend this task?")
    expect(dialog).to_contain_text("Anything it did before it failed is done again")
    dialog.get_by_role("button", name="Not now").click()
    assert calls == []
    expect(again).to_be_focused()
    page.keyboard.press("Enter")
    waiting = {**KEPT, "redriven_at": "2026-11-24T12:59:55.000Z", "redriven_as": "8" * 32}
    answer(page, "/tasks/failed", {"tasks": [waiting], "cursor": None})
    dialog.get_by_role("button", name="Resend").click()
    expect(page.get_by_role("status")).to_have_text(f"Resent as {sent['id']}")
    assert [call.method for call in calls] == ["POST"]
    expect(page.get_by_role("row").nth(1)).to_contain_text(
        re.compile("resent [0-9]+ s ago, not started yet")
    )


def test_there_may_be_none_or_more_than_a_page(page: Page, dashboard: str) -> None:
    opened(page, dashboard, KEPT, cursor=str(KEPT["id"]))
    page.get_by_role("link", name="Older").click()
    expect(page).to_have_url(re.compile(f"cursor={KEPT['id']}"))
    answer(page, "/tasks/failed", {"tasks": [], "cursor": None})
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_text("No failed tasks in the last week.")).to_be_visible()


def test_who_may_not_see_them_is_told_so(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("403")
    refusal = {
        "type": "urn:job-runners:not-allowed",
        "title": "This caller may not do this",
        "status": 403,
        "detail": "this asks for the role service; the role of your token is operator",
        "request_id": None,
    }
    answer(page, "/tasks/failed", refusal, status=403)
    page.goto(f"{dashboard}#/failed/tasks")
    expect(page.get_by_role("alert")).to_contain_text("the role of your token is operator")
