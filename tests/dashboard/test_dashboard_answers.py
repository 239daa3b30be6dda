"""The dashboard in a browser, when the API's answers are not those of the local AWS: other access
modes, failures, jobs in every state."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from browser import Complaints
from faked_answers import JOB, answer
from supervised import running, write_project

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.usefixtures("complaints")]

# --- who may look -------------------------------------------------------------------------------


def test_a_stack_with_tokens_asks_for_one_and_forgets_it(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("401")

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") != "Bearer good":
            route.fulfill(status=401, json={"message": "Unauthorized"})
        elif "organization_id" in route.request.url:
            route.fulfill(status=403, json={"title": "Refused", "detail": "not yours"})
        else:
            route.fulfill(json={"jobs": [JOB], "cursor": None, "tasks": []})

    page.route("**/jobs?*", guard)
    page.route("**/job-types", guard)
    page.goto(dashboard)
    page.get_by_label("Token").fill("bad")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("The API refused the token.")).to_be_visible()
    page.get_by_label("Token").fill("good")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("link", name="count_words")).to_be_visible()
    kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    assert kept == [0, 0, ""]
    assert "good" not in page.url
    page.reload()
    expect(page.get_by_label("Token")).to_have_value("")


def test_a_person_sees_at_once_that_the_local_aws_has_stopped(
    page: Page, complaints: Complaints, tmp_path: Path
) -> None:
    complaints.expected.append("ERR_CONNECTION_REFUSED")
    with running(write_project(tmp_path / "project")) as run:
        (address,) = re.findall(r"Dashboard +(\S+)", run.shown)
        page.goto(f"{address}#/job/{run.dispatch('nap', {'seconds': 600})}")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        run.stop()
        stopped = time.monotonic()
        expect(page.get_by_role("alert")).to_contain_text(
            "job-runners run or job-runners dashboard) has stopped. Start it again"
        )
        assert time.monotonic() - stopped < 20


# --- politeness ---------------------------------------------------------------------------------


@pytest.fixture
def clock(page: Page) -> Page:
    """Return the page, with a clock that only a test moves."""
    page.clock.install(time="2026-11-24T13:00:00Z")
    page.clock.pause_at("2026-11-24T13:00:01Z")
    page.add_init_script(
        "window.away = false;Object.defineProperty(document, 'hidden', {get: () => window.away})"
    )
    return page


LOOK = "away => { window.away = away; document.dispatchEvent(new Event('visibilitychange')) }"


def test_a_hidden_page_asks_nothing_and_a_seen_one_at_once(clock: Page, dashboard: str) -> None:
    running = {**JOB, "status": "running", "finished_at": None, "error": None}
    calls = answer(clock, f"/jobs/{JOB['id']}", running, Retry_After="2")
    clock.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(clock.get_by_text("live", exact=True)).to_be_visible()
    clock.evaluate(LOOK, True)
    clock.clock.run_for(60_000)
    assert len(calls) == 1
    with clock.expect_response("**/jobs/*"):
        clock.evaluate(LOOK, False)
    assert len(calls) == 2


def test_the_api_says_when_to_ask_again(clock: Page, dashboard: str) -> None:
    running = {**JOB, "status": "running", "finished_at": None, "error": None}
    calls = answer(clock, f"/jobs/{JOB['id']}", running, Retry_After="30")
    clock.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(clock.get_by_text("live", exact=True)).to_be_visible()
    clock.clock.run_for(29_000)
    assert len(calls) == 1
    with clock.expect_response("**/jobs/*"):
        clock.clock.run_for(2_000)


def test_a_finished_job_is_not_asked_for_again(clock: Page, dashboard: str) -> None:
    calls = answer(clock, f"/jobs/{JOB['id']}", JOB)
    clock.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(clock.get_by_role("heading", name="count_words")).to_be_visible()
    clock.clock.run_for(120_000)
    assert len(calls) == 1


def test_failures_are_said_then_left_alone_until_a_person_asks(
    clock: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("503")
    calls = answer(clock, "/jobs", {"title": "Unavailable", "detail": "DynamoDB is out."}, 503)
    clock.goto(f"{dashboard}#/failed")
    alert = clock.get_by_role("alert")
    for number, seconds in enumerate((2, 4, 8), start=1):
        expect(alert).to_contain_text(f"DynamoDB is out. Retrying in {seconds} s.")
        assert len(calls) == number
        clock.clock.run_for(seconds * 1000)
    expect(alert).to_contain_text("Not retrying automatically.")
    clock.clock.run_for(300_000)
    assert len(calls) == 4
    clock.unroute_all()
    clock.get_by_role("button", name="Try now").click()
    expect(alert).to_have_count(0)
    expect(clock.get_by_text("live", exact=True)).to_be_visible()


# --- a job in every state ------------------------------------------------------------------------


def test_the_command_that_prints_a_jobs_log_can_be_copied(page: Page, dashboard: str) -> None:
    answer(page, f"/jobs/{JOB['id']}", JOB)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy command").click()
    expect(page.get_by_role("status").last).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"job-runners logs {JOB['id']}"


def test_long_text_is_cut_until_asked_for(page: Page, dashboard: str) -> None:
    answer(page, f"/jobs/{JOB['id']}", {**JOB, "payload": {"text": "x" * 50_000}})
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    box = page.get_by_role("region", name="Payload").last
    expect(box).not_to_contain_text('"\n}')
    page.get_by_role("button", name="Show all 50,016 characters").click()
    expect(box).to_contain_text("}")


# --- many at once --------------------------------------------------------------------------------


def test_a_bulk_retry_tells_what_was_refused(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("409")
    jobs = [{**JOB, "id": f"{number:032x}"} for number in range(7)]
    answer(page, "/jobs", {"jobs": jobs, "cursor": None})
    retried = answer(page, "/retry", JOB, 202)
    refusal = {"title": "Too late", "detail": "it is running"}
    answer(page, f"/jobs/{jobs[2]['id']}/retry", refusal, 409)
    page.goto(f"{dashboard}#/failed")
    page.get_by_label("Select all listed jobs").check()
    page.get_by_role("button", name="Retry 7").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("6 of 7 jobs retried, 1 refused")).to_be_visible()
    expect(page.get_by_role("region", name="Retrying")).to_contain_text("it is running")
    assert len(retried) == 6


# --- with the keyboard alone ----------------------------------------------------------------------


def test_a_job_is_reached_with_the_keyboard_alone(page: Page, dashboard: str) -> None:
    answer(page, "/jobs", {"jobs": [JOB], "cursor": None})
    answer(page, f"/jobs/{JOB['id']}", JOB)
    page.goto(f"{dashboard}#/failed")
    expect(page.get_by_role("link", name="count_words")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(14):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('whole')"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="count_words")).to_be_visible()
    expect(page.locator("main")).to_be_focused()
