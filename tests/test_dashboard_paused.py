"""The page of what is paused, in a browser."""

import pytest
from playwright.sync_api import Page, expect

from faked_answers import answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]


def test_the_page_says_what_a_pause_does_and_what_is_paused(page: Page, dashboard: str) -> None:
    page.clock.install(time="2026-11-24T13:00:00Z")
    paused = {"kind": "queue", "name": "imports", "paused_at": "2026-11-24T09:10:00.000Z"}
    types = [{"name": "count_words", "queue_name": "default"}]
    answer(page, "/paused", {"paused": [paused]})
    answer(page, "/job-types", {"jobs": types, "tasks": []})
    page.goto(f"{dashboard}#/paused")
    expect(page.locator(".lead")).to_contain_text(
        "What runs stops at its next written checkpoint that has a cursor"
    )
    queues = page.get_by_role("region", name="Queues")
    expect(queues.get_by_role("listitem").filter(has_text="default")).to_contain_text("not paused")
    expect(queues.get_by_role("listitem").filter(has_text="imports")).to_contain_text(
        "paused 4 h ago"
    )
    expect(page.get_by_text("running", exact=True)).to_have_count(0)
