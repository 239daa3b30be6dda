"""What the page says of schedules, and what can be done with them there, in a browser."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from browser import Complaints
from faked_answers import JOB, answer
from local_stack import Local
from schedule_answers import row, schedule, schedules_page

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

# What the page says of a run that met another job under a unique rule, and what the API answers.
MET: list[tuple[str, dict[str, Any], str]] = [
    ("returned", {"status": "queued"}, "Already queued as bbbbbbbb (same work)"),
    ("returned", {"status": "running"}, "Already running as bbbbbbbb (same work)"),
    (
        "replaced",
        {"status": "scheduled"},
        "Job bbbbbbbb does the same work, and takes this payload and time",
    ),
    (
        "follows",
        {"status": "waiting", "waits_for": {"kind": "job", "name": "c" * 32, "key": None}},
        "Starts after job cccccccc, which does the same work",
    ),
]


def cell(page: Page, name: str, kind: str) -> str:
    return " ".join(row(page, name).locator(f"td.{kind}").inner_text().split())


def test_each_is_said_in_words_with_how_its_last_went_and_its_next_one(
    page: Page, dashboard: str
) -> None:
    schedules_page(page, dashboard)
    assert cell(page, "failing", "what") == (
        "failing at 02:00 every day, Europe/Berlin make_report, added over the API"
    )
    assert cell(page, "failing", "last") == "failed 12 h ago ValueError: no luck"
    expect(row(page, "failing").get_by_role("link")).to_have_attribute("href", f"#/job/{'a' * 32}")
    assert cell(page, "failing", "next") == "in 12 h"
    row(page, "failing").locator("summary").click()
    expect(row(page, "failing").locator("td.next li")).to_contain_text("25 Nov 2026, 02:00")
    assert cell(page, "broken", "last") == (
        "Starting failed; retrying. QueueFull: the queue is full"
    )
    assert cell(page, "declared", "last") == "job deleted 12 h ago"
    assert cell(page, "declared", "what").endswith("make_report, declared in code")
    hides, removed = cell(page, "hides", "what"), cell(page, "removed", "what")
    assert hides.endswith("make_report, added over the API (overrides the code)")
    assert removed.endswith("make_report, declared by another version")
    assert cell(page, "<b>hostile</b>", "last") == "No occurrences yet"
    assert cell(page, "<b>hostile</b>", "next") == "No more occurrences"
    assert cell(page, "paused", "last") == (
        "succeeded 12 h ago skipped 60 min ago: the one before it still ran"
    )
    assert cell(page, "paused", "next") == "None while paused"
    assert cell(page, "paused", "pause") == "paused 4 h ago by operator:ada"
    assert cell(page, "soon", "next").startswith("in ")
    page.clock.fast_forward(301_000)
    expect(row(page, "soon").locator("summary")).to_have_text("due")
    more = page.get_by_role("link", name="More", exact=True)
    expect(more).to_have_attribute("href", "#/schedules?cursor=further")


def test_one_is_paused_and_resumed_by_its_switch(page: Page, dashboard: str) -> None:
    schedules_page(page, dashboard)
    expect(row(page, "paused").get_by_role("switch")).to_be_checked()
    resumed = answer(page, "/schedules/paused/paused", schedule("paused"))
    page.get_by_role("switch", name="Pause paused").press("Space")
    expect(page.get_by_role("status")).to_contain_text("paused is resumed")
    paused = answer(page, "/schedules/failing/paused", schedule("failing"))
    page.get_by_role("switch", name="Pause failing").click()
    expect(page.get_by_role("status")).to_contain_text("failing is paused")
    assert [each.method for each in (*resumed, *paused)] == ["DELETE", "PUT"]
    assert all(each.url.endswith("?organization_id=default") for each in (*resumed, *paused))


def test_its_job_is_run_now_once_that_is_confirmed(page: Page, dashboard: str) -> None:
    schedules_page(page, dashboard)
    run = answer(page, "/schedules/failing/run", {**JOB, "id": "b" * 32}, 202)
    answer(page, f"/jobs/{'b' * 32}", {**JOB, "id": "b" * 32})
    button = page.get_by_role("button", name="Run failing now")
    button.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert run == []
    button.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Run now").press("Enter")
    expect(page).to_have_url(f"{dashboard}#/job/{'b' * 32}")
    assert [(each.method, "idempotency-key" in each.headers) for each in run] == [("POST", True)]
    expect(page.get_by_role("status")).to_have_text("Dispatched")


@pytest.mark.parametrize(("outcome", "changes", "words"), MET)
def test_a_run_that_meets_another_job_as_the_same_work_says_so(
    page: Page, dashboard: str, outcome: str, changes: dict[str, Any], words: str
) -> None:
    job = {**JOB, "id": "b" * 32, "error": None, "finished_at": None, **changes}
    schedules_page(page, dashboard)
    answer(page, "/schedules/failing/run", job, 202, Unique_Outcome=outcome)
    answer(page, f"/jobs/{'b' * 32}", job)
    page.get_by_role("button", name="Run failing now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(page.get_by_role("status")).to_have_text(words)
    expect(page).to_have_url(f"{dashboard}#/job/{'b' * 32}")


def test_one_is_deleted_once_that_is_confirmed_and_not_what_the_code_declares(
    page: Page, dashboard: str
) -> None:
    schedules_page(page, dashboard)
    assert page.get_by_role("button", name="Delete declared").count() == 0
    deleted = answer(page, "/schedules/%3Cb%3Ehostile%3C%2Fb%3E", "", 204)
    page.get_by_role("button", name="Delete <b>hostile</b>").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its jobs remain.")
    dialog.get_by_role("button", name="Cancel").click()
    assert deleted == []
    page.get_by_role("button", name="Delete <b>hostile</b>").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted")
    assert [each.method for each in deleted] == ["DELETE"]


def test_another_organisations_are_shown_by_its_name(page: Page, dashboard: str) -> None:
    schedules_page(page, dashboard)
    page.get_by_label("Organization").fill("acme")
    with page.expect_request("**/schedules?organization_id=acme&limit=50"):
        page.get_by_label("Organization").press("Enter")
    expect(page).to_have_url(f"{dashboard}#/schedules?org=acme")


def test_a_schedule_of_the_stack_is_run_paused_and_deleted(
    page: Page, dashboard: str, local: Local
) -> None:
    body = {"job_type": "export_contacts", "payload": {"campaign": "none"}}
    body |= {"cron": "0 2 29 2 *", "timezone": "Asia/Kolkata"}
    put = local.api.put("/schedules/leap%20day?organization_id=page", body)
    assert put.status == 201, put.text
    page.goto(f"{dashboard}#/schedules?org=page")
    expect(row(page, "leap day")).to_contain_text("at 02:00 on February 29, Asia/Kolkata")
    page.get_by_role("switch", name="Pause leap day").click()
    expect(row(page, "leap day")).to_contain_text("None while paused")
    page.get_by_role("button", name="Run leap day now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", name="export_contacts")).to_be_visible()
    expect(page.locator(".title .status")).to_have_text("succeeded")
    page.goto(f"{dashboard}#/schedules?org=page")
    page.get_by_role("button", name="Delete leap day").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("p.empty")).to_be_visible()


def test_without_any_it_says_how_to_have_one(page: Page, dashboard: str) -> None:
    answer(page, "/schedules", {"schedules": [], "cursor": None})
    page.goto(f"{dashboard}#/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("heading", name="Schedules")).to_be_visible()
    expect(page.locator("p.empty")).to_contain_text("No schedules yet. Add one")


# --- a new one ------------------------------------------------------------------------------------

TYPES = [
    {
        "name": "make_report", "description": "Make a report.", "queue_name": "default",
        "queues": ["default"], "internal": False,
        "payload_schema": {
            "type": "object", "required": ["shop"], "properties": {"shop": {"type": "string"}},
        },
    }
]  # fmt: skip


def new_schedule(page: Page, dashboard: str, exists: bool) -> list[Any]:
    """Fill in the form of a schedule. Return the requests about it."""
    answer(page, "/job-types", {"jobs": TYPES, "tasks": []})
    asked = answer(page, "/schedules/nightly", schedule("nightly"), 200 if exists else 404)
    answer(page, "/schedules", {"schedules": [], "cursor": None})
    page.goto(f"{dashboard}#/schedules?org=acme")
    page.get_by_role("link", name="New schedule").click()
    page.get_by_label("Name").fill("nightly")
    page.get_by_label("Shop").fill("north")
    return asked


def test_a_schedule_is_added_with_the_fields_of_its_payload(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("404")
    new_schedule(page, dashboard, exists=False)
    page.get_by_label("Cron times").fill("0 2 * * *")
    put: list[Any] = []
    page.route("**/schedules/nightly?*", lambda route: _missing(route, put))
    page.get_by_role("button", name="Save schedule").click()
    expect(page.get_by_role("status")).to_contain_text("Schedule saved")
    expect(page).to_have_url(re.compile("#/schedules.org=acme$"))
    (saved,) = [each for each in put if each.method == "PUT"]
    assert saved.url.endswith("?organization_id=acme")
    assert saved.post_data_json == {
        "job_type": "make_report", "cron": "0 2 * * *", "timezone": "Europe/Berlin",
        "payload": {"shop": "north"},
    }  # fmt: skip


def _missing(route: Route, asked: list[Any]) -> None:
    """Answer that there is no such schedule, until it is added."""
    asked.append(route.request)
    is_put = route.request.method == "PUT"
    problem = {"title": "No schedule", "detail": "There is none."}
    route.fulfill(status=201 if is_put else 404, json=schedule("nightly") if is_put else problem)


def test_a_schedule_of_the_same_name_is_replaced_only_after_a_question(
    page: Page, dashboard: str
) -> None:
    asked = new_schedule(page, dashboard, exists=True)
    page.get_by_label("Or every").fill("15")
    save = page.get_by_role("button", name="Save schedule")
    save.click()
    dialog = page.get_by_role("dialog", name="Replace nightly?")
    dialog.get_by_role("button", name="Cancel").click()
    assert [each.method for each in asked] == ["GET"]
    save.click()
    dialog.get_by_role("button", name="Replace").click()
    expect(page.get_by_role("status")).to_contain_text("Schedule saved")
    assert asked[-1].post_data_json == {
        "job_type": "make_report", "every": 900, "payload": {"shop": "north"},
    }  # fmt: skip
