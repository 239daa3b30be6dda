"""The page of error groups, in a browser: what it says, and what can be done with a group."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints
from failure_answers import NEW, SOLVED
from faked_answers import answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]


def opened(page: Page, dashboard: str, *groups: dict[str, Any]) -> None:
    page.clock.install(time="2026-11-24T13:00:00Z")
    answer(page, "/error-groups", {"error_groups": groups, "complete": True})
    page.goto(f"{dashboard}#/failed/groups")


def test_each_group_says_what_fails_and_leads_to_its_jobs(page: Page, dashboard: str) -> None:
    opened(page, dashboard, NEW, SOLVED)
    new, solved = page.get_by_role("row").nth(1), page.get_by_role("row").nth(2)
    expect(new).to_contain_text(
        re.compile("make_report.*new.*KeyError.*acme.reports:<b>total</b>", re.DOTALL)
    )
    expect(new.locator(".attempts")).to_have_text("1,200")
    expect(new).to_contain_text("30 min ago")
    expect(new).to_contain_text("first 60 min ago in build 0123456789ab")
    expect(solved.get_by_role("button", name="Reopen make_report, Refused")).to_be_visible()
    calls = answer(page, "/jobs", {"jobs": [], "cursor": None})
    new.get_by_role("link", name="make_report").click()
    expect(page.get_by_text("Only the jobs of one group are shown.")).to_be_visible()
    assert f"error_group={'a' * 32}" in calls[0].url


def test_a_group_is_retried_with_a_rate(page: Page, dashboard: str) -> None:
    opened(page, dashboard, NEW)
    ids = [number * 32 for number in "123"]
    listed = [{"id": each, "job_type": "make_report", "status": "failed"} for each in ids]
    answer(page, "/jobs", {"jobs": listed, "cursor": None})
    calls = [answer(page, f"/jobs/{each}/retry", {"id": each}, status=202) for each in ids]
    page.get_by_label("Retry at most").fill("2")
    page.get_by_role("button", name="Retry make_report, KeyError").click()
    dialog = page.get_by_role("dialog", name="Retry these 3 jobs?")
    dialog.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status").first).to_contain_text("1 of 3 jobs retried")
    assert [len(each) for each in calls] == [1, 0, 0]
    page.clock.run_for(600)
    expect(page.get_by_role("status").first).to_contain_text("2 of 3 jobs retried")
    page.clock.run_for(600)
    expect(page.get_by_role("status").first).to_contain_text("3 of 3 jobs retried")


def test_a_group_is_noted_and_resolved(page: Page, dashboard: str) -> None:
    opened(page, dashboard, NEW)
    calls = answer(page, f"/error-groups/{NEW['id']}", NEW)
    page.get_by_text("Add a note").click()
    page.get_by_label("Note on make_report").fill("ask ada")
    with page.expect_response(re.compile(r"/error-groups(\?|$)")):  # the list is read again
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Note on make_report")).to_have_value("ask ada")
    answer(
        page, "/error-groups", {"error_groups": [{**NEW, "state": "resolved"}], "complete": True}
    )
    page.get_by_role("button", name="Resolve make_report").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("resolved")
    bodies = [json.loads(call.post_data or "") for call in calls]
    assert bodies == [{"note": "ask ada"}, {"resolved": True}]


def test_no_failures_are_a_sentence(page: Page, dashboard: str, complaints: Complaints) -> None:
    opened(page, dashboard)
    expect(page.get_by_text("No job has failed.")).to_be_visible()
