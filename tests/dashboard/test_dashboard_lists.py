"""Lists of jobs in a browser: what tells jobs apart, a filter by time, and what is done to several
at once."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from browser import row
from faked_answers import JOB, answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

NOW = "2026-11-24T13:00:00Z"
FAILED, QUEUED, RUNNING, DONE = (
    {
        **JOB,
        "id": letter * 32,
        "status": status,
        "error": JOB["error"] if status == "failed" else None,
    }
    for letter, status in (("a", "failed"), ("b", "queued"), ("c", "running"), ("d", "succeeded"))
)


def listed(page: Page, dashboard: str, *jobs: dict[str, Any]) -> list[Any]:
    """Open a list of these jobs. Return the requests for lists."""
    page.clock.install(time=NOW)
    asked = answer(page, "/jobs", {"jobs": jobs, "cursor": None})
    page.goto(f"{dashboard}#/")
    expect(row(page, jobs[0]["id"])).to_be_visible()
    return asked


def test_rows_of_one_type_differ_by_id_key_and_message(page: Page, dashboard: str) -> None:
    keyed = {**QUEUED, "concurrency_key": "acme:<b>spring</b>", "result_message": None}
    whole = {**RUNNING, "concurrency_key": "*", "result_message": "400 of 1,000"}
    listed(page, dashboard, keyed, whole)
    expect(row(page, "b" * 32)).to_contain_text(
        re.compile("count_words bbbbbbbb.*acme:<b>spring</b>")
    )
    expect(row(page, "c" * 32).locator(".words")).to_have_text("400 of 1,000")


def test_jobs_are_filtered_by_time(page: Page, dashboard: str) -> None:
    asked = listed(page, dashboard, QUEUED)
    for choice, span in (
        ("Last hour", {"since": ["2026-11-24T12:00:00.000Z"]}),
        ("Over 24 hours ago", {"until": ["2026-11-23T13:00:00.000Z"]}),
    ):
        asked.clear()
        page.clock.set_fixed_time(NOW)
        page.get_by_label("Time").select_option(choice)
        expect(page.locator("[aria-busy]")).to_have_count(0)
        query = parse_qs(urlsplit(asked[0].url).query)
        assert {name: query[name] for name in ("since", "until") if name in query} == span
    page.reload()
    expect(page.get_by_label("Time")).to_have_value("-1d")


def test_selected_jobs_are_canceled_after_a_question(page: Page, dashboard: str) -> None:
    listed(page, dashboard, FAILED, QUEUED, RUNNING, DONE)
    canceled = answer(page, "/cancel", JOB, 202)
    page.get_by_label("Select count_words, bbbbbbbb").focus()
    page.keyboard.press("Space")
    expect(page.get_by_label("Select all listed jobs")).to_have_js_property("indeterminate", True)
    page.get_by_label("Select all listed jobs").check()
    bar = page.get_by_role("region", name="Selected jobs")
    expect(bar).to_contain_text("4 jobs selected")
    expect(bar.get_by_role("button", name="Retry 1")).to_be_enabled()
    page.clock.run_for(4000)  # the list is read again, and the selection stays
    expect(page.get_by_label("Select count_words, dddddddd")).to_be_checked()
    bar.get_by_role("button", name="Cancel 2").click()
    dialog = page.get_by_role("dialog", name="Cancel these 2 jobs?")
    expect(dialog).to_contain_text("may happen twice if you retry")
    dialog.get_by_role("button", name="Cancel them").click()
    expect(page.get_by_text("2 of 2 jobs canceled or asked to stop")).to_be_visible()
    assert [each.url.split("/")[-2][0] for each in canceled] == ["b", "c"]
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    expect(page.get_by_label("Select count_words, dddddddd")).not_to_be_checked()


def test_a_retry_of_selected_jobs_names_the_risk(page: Page, dashboard: str) -> None:
    listed(page, dashboard, FAILED, DONE)
    retried = answer(page, "/retry", JOB, 202)
    page.get_by_label("Select all listed jobs").check()
    page.get_by_role("button", name="Retry 1").click()
    dialog = page.get_by_role("dialog", name="Retry this job?")
    expect(dialog).to_contain_text(
        "Side effects there, such as emails or payments, may happen twice."
    )
    dialog.get_by_role("button", name="Not now").click()
    page.get_by_role("button", name="Retry 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 of 1 job retried")).to_be_visible()
    assert len(retried) == 1


def test_the_list_says_what_queued_and_waiting_mean(page: Page, dashboard: str) -> None:
    listed(page, dashboard, QUEUED)
    for name, words in (("Queued", "No worker has started them"), ("Waiting", "holds them")):
        page.get_by_role("navigation", name="Status").get_by_role("link", name=name).click()
        expect(page.locator("#counted")).to_contain_text(words)
    expect(page.get_by_label("Recent numbers")).to_contain_text("of any status")
