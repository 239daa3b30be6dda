"""What the page says of pauses, of times and of who did it, in a browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from faked_answers import JOB, answer

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
        re.compile(r"paused 4 h ago, .*2026")
    )
    expect(page.get_by_text("running", exact=True)).to_have_count(0)


def test_a_job_says_when_in_both_ways_and_who_did_what(page: Page, dashboard: str) -> None:
    page.clock.install(time="2026-11-24T16:05:00Z")
    job = {
        **JOB,
        "created_by": "operator:ada",
        "requeued_by": "service",
        "cancelled_by": None,
    }
    answer(page, f"/jobs/{JOB['id']}", job)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    facts = page.locator("dl.facts")
    expect(facts).to_contain_text(re.compile(r"Created4 h ago, .*2026"))
    expect(facts).to_contain_text("Created byoperator:ada")
    expect(facts).to_contain_text("Retried byservice")
    expect(facts).not_to_contain_text("Cancelled by")
