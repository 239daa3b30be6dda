"""The dashboard in a browser: counts, the search, and what a job's page tells beside the job."""

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from browser import Complaints, row
from faked_answers import JOB, answer
from following import follow
from job_answers import CHILDREN, EARLIER, LOG, PARENT
from local_stack import Local

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.usefixtures("complaints")]


@pytest.fixture(scope="module")
def organization() -> str:
    """Return an organisation that no other test has."""
    return f"org-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def failed(local: Local, organization: str) -> str:
    """Return a job that failed because its file is not there."""
    payload = {"campaign": "spring", "key": f"uploads/{organization}/missing.csv"}
    job_id = local.dispatch("import_contacts", payload, organization_id=organization)
    assert follow(local.api, job_id)["status"] == "failed"
    return job_id


@pytest.fixture(scope="module")
def succeeded(local: Local, organization: str) -> str:
    """Return a job that did its work."""
    job_id = local.dispatch("export_contacts", {"campaign": "spring"}, organization_id=organization)
    assert follow(local.api, job_id)["status"] == "succeeded"
    return job_id


def tab(page: Page, name: str) -> Any:
    return page.get_by_role("navigation", name="Status").get_by_role("link", name=name)


# --- counts ---------------------------------------------------------------------------------------


def test_of_more_than_200_jobs_only_the_charts_show_the_newest_and_say_so(
    page: Page, dashboard: str
) -> None:
    running = {**JOB, "status": "running", "job_type": "import_contacts", "error": None}
    asked: list[str] = []

    def pages(route: Route) -> None:
        asked.append(route.request.url)
        jobs = [
            {**(running if number % 4 else JOB), "id": f"{number:032x}"} for number in range(100)
        ]
        route.fulfill(json={"jobs": jobs, "cursor": "more"})

    page.route("**/jobs?*", pages)
    page.goto(dashboard)
    charts = page.get_by_role("region", name="Recent numbers")
    expect(charts).to_contain_text("These charts show only the newest 200 jobs.")
    created = charts.get_by_role("figure").first
    expect(created).to_contain_text("50 failed")
    expect(created).to_contain_text("150 unfinished")
    expect(created.locator(".axis").first).to_have_text("200 jobs")
    expect(created.locator(".ends")).to_have_text("13:0013:00")
    expect(tab(page, "Running")).to_have_text("Running")
    expect(tab(page, "All")).to_have_text("All")
    assert len([url for url in asked if "limit=100" in url]) == 2
    page.get_by_label("Type").select_option("import_contacts")
    expect(charts).to_contain_text("show 150 jobs that match, among the newest 200.")


def test_where_there_are_fewer_the_tabs_count_all(
    page: Page, dashboard: str, organization: str, failed: str, succeeded: str
) -> None:
    page.goto(f"{dashboard}#/?org={organization}")
    expect(tab(page, "Failed")).to_have_text("Failed 1")
    expect(page.get_by_text(re.compile(r"^Counted: all \d+ jobs$"))).to_be_visible()
    status = page.get_by_role("navigation", name="Status")
    expect(status).to_have_accessible_description(re.compile("Counted: all"))


# --- search ---------------------------------------------------------------------------------------


def test_jobs_are_searched_by_how_their_id_or_message_begins(
    page: Page, dashboard: str, organization: str, failed: str, succeeded: str
) -> None:
    page.goto(f"{dashboard}#/?org={organization}")
    search = page.get_by_role("searchbox", name="Search")
    for words, found, other in (
        (failed[:8], failed, succeeded),
        (succeeded[:9], succeeded, failed),
        ("UNUSABLEfile", failed, succeeded),
    ):
        search.fill(words)
        page.keyboard.press("Enter")
        expect(row(page, found)).to_be_visible()
        expect(row(page, other)).to_have_count(0)
        assert f"search={words}" in page.url
    page.reload()
    expect(search).to_have_value("UNUSABLEfile")
    search.fill("no such beginning")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No matching jobs.")).to_be_visible()
    page.goto(f"{dashboard}#/failed?org={organization}&search={failed[:8]}")
    expect(row(page, failed)).to_be_visible()
    search.fill(succeeded[:8])
    page.keyboard.press("Enter")
    expect(page.get_by_text("No matching failed jobs.")).to_be_visible()


def test_a_whole_id_leads_to_its_job(page: Page, dashboard: str, succeeded: str) -> None:
    page.goto(f"{dashboard}#/failed?org=another")
    page.get_by_role("searchbox", name="Search").fill(f" {succeeded.upper()}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="export_contacts")).to_be_visible()


# --- what is beside a job -------------------------------------------------------------------------


def shown(page: Page, dashboard: str, **fields: Any) -> None:
    """Open a job's page."""
    answer(page, f"/jobs/{JOB['id']}", {**JOB, **fields})
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.get_by_role("heading", name="count_words")).to_be_visible()


def test_the_errors_of_earlier_attempts_are_told_the_latest_first(
    page: Page, dashboard: str
) -> None:
    shown(page, dashboard, earlier_errors=EARLIER)
    items = page.get_by_role("region", name="Earlier attempts").get_by_role("listitem")
    expect(items).to_have_text(
        [
            re.compile("Attempt 2.*Refused the second"),
            re.compile("Attempt 1.*Refused the first"),
            "Before the manual retry",
            re.compile("Attempt 3.*Timeout too slow"),
        ]
    )
    expect(page.get_by_text("Earlier ones are in the log")).to_have_count(0)
    shown(page, dashboard, attempt=1, earlier_errors=EARLIER[:1])
    page.reload()
    expect(items).to_have_text(["Before the manual retry", re.compile("Attempt 3.*Timeout")])


def test_the_error_that_stands_above_is_not_told_twice(page: Page, dashboard: str) -> None:
    error = {"kind": "Refused", "message": "the second, and more", "traceback": ""}
    shown(page, dashboard, status="retryable", error=error, earlier_errors=EARLIER)
    expect(page.get_by_role("region", name="Error")).to_contain_text("the second, and more")
    items = page.get_by_role("region", name="Earlier attempts").get_by_role("listitem")
    expect(items.first).to_contain_text("Refused the first")


def test_a_job_and_its_parent_and_children_lead_to_each_other(page: Page, dashboard: str) -> None:
    answer(page, f"/jobs/{PARENT}", {**JOB, "id": PARENT, "job_type": "import_all"})
    answer(page, f"/jobs/{PARENT}/children", CHILDREN)
    in_group = {"parent_id": PARENT, "group": "files"}
    answer(page, f"/jobs/{'c' * 32}", {**JOB, "id": "c" * 32, **in_group})
    page.goto(f"{dashboard}#/job/{PARENT}")
    children = page.get_by_role("region", name="Children")
    expect(children.get_by_role("listitem")).to_have_text(
        [re.compile("failed.*import may.csv count_words"), re.compile("deleted.*import/june.csv")]
    )
    children.get_by_role("link", name="import may.csv").click()
    expect(page.get_by_role("heading", name="count_words")).to_be_visible()
    expect(page.locator("dl.facts")).to_contain_text("(group files)")
    page.get_by_role("link", name=PARENT[:8]).click()
    expect(page.get_by_role("heading", name="import_all")).to_be_visible()


def test_a_batch_shows_its_members_by_outcome_and_retries_those_that_failed(
    page: Page, dashboard: str
) -> None:
    counts = {"total": 1200, "open": 300, "succeeded": 893, "failed": 7, "canceled": 0}
    group = {"name": "members", **counts, "existing": 0, "progress": 75, "as_of": None}
    error = {"kind": "KeyError", "message": "no luck"}
    one = {"key": "cover", "id": "c" * 32, "status": "failed", "error": error}
    members = {"members": [{**one, "job": {**JOB, "id": "c" * 32}}], "cursor": None}
    answer(page, f"/jobs/{PARENT}", {**JOB, "id": PARENT, "job_type": "batch", "progress": 3})
    answer(page, f"/jobs/{PARENT}/groups", {"groups": [group]})
    listed = answer(page, f"/batches/{PARENT}/members", members)
    retried = answer(page, f"/jobs/{'c' * 32}/retry", JOB, status=202)
    page.goto(f"{dashboard}#/job/{PARENT}")
    shown = page.get_by_role("region", name="Group members")
    expect(page.get_by_role("progressbar")).to_have_count(1)  # one number
    expect(shown.get_by_role("heading")).to_have_text("Group members 900 of 1,200 ended, 75 %")
    buttons = [*(f"{number} {outcome}" for number, outcome in ((7, "failed"), (300, "open")))]
    expect(shown.get_by_role("button")).to_have_text(
        [*buttons, "893 succeeded", "Retry failed members"]
    )
    shown.get_by_role("button", name="7 failed").click()
    rows = shown.get_by_role("listitem")
    expect(rows).to_have_text([re.compile("failed.*cover KeyError: no luck")])
    assert "status=failed" in listed[-1].url
    expect(shown.get_by_role("button", name="canceled")).to_have_count(0)
    shown.get_by_role("button", name="Retry failed members").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_text("1 of 1 job retried")).to_be_visible()
    assert len(retried) == 1


def test_children_that_failed_come_first_with_their_errors(page: Page, dashboard: str) -> None:
    done = {**JOB, "status": "succeeded", "error": None}
    children = [
        {"key": f"{number:02}", "group": None, "id": f"{number:032x}", "job": done}
        for number in range(40)
    ]
    children[33]["job"] = {**done, "status": "failed", "error": {"kind": "E", "message": "<b>"}}
    answer(page, f"/jobs/{PARENT}", {**JOB, "id": PARENT})
    answer(page, f"/jobs/{PARENT}/children", {"children": children, "cursor": "more"})
    page.goto(f"{dashboard}#/job/{PARENT}")
    shown = page.get_by_role("region", name="Children")
    expect(shown.get_by_role("listitem").first).to_contain_text("33 count_words, E: <b>")
    expect(shown.get_by_role("heading")).to_have_text("Children the first 40, 1 failed")
    expect(shown.get_by_role("link", name="39")).to_be_hidden()
    shown.get_by_text("Show the other 15").click()
    expect(shown.get_by_role("link", name="39")).to_be_visible()


def test_a_batch_is_canceled_with_its_members(page: Page, dashboard: str) -> None:
    waiting = {**JOB, "id": PARENT, "job_type": "batch", "status": "waiting", "error": None}
    answer(page, f"/jobs/{PARENT}", waiting)
    asked = answer(page, f"/jobs/{PARENT}/cancel", {}, status=202)
    page.goto(f"{dashboard}#/job/{PARENT}")
    page.get_by_role("button", name="Cancel with members").click()
    page.get_by_role("button", name="Cancel all").click()
    expect(page.get_by_text("Canceling the members")).to_be_visible()
    assert [(each.method, each.url.rpartition("?")[2]) for each in asked] == [
        ("POST", "members=true")
    ]


def test_a_job_and_its_follow_up_lead_to_each_other(page: Page, dashboard: str) -> None:
    told, saved = "d" * 32, [{"kind": "on_end", "job_type": "update_crm", "id": "d" * 32}]
    named = {"on_end": "update_crm", "on_failure": "page_the_team", "follow_ups": saved}
    answer(page, f"/jobs/{PARENT}", {**JOB, "id": PARENT, "job_type": "import_all", **named})
    told_job = {**JOB, "id": told, "job_type": "update_crm", "follow_up_of": PARENT}
    answer(page, f"/jobs/{told}", told_job)
    page.goto(f"{dashboard}#/job/{PARENT}")
    expect(page.get_by_text("page_the_team")).to_be_visible()
    page.get_by_role("link", name=told[:8]).click()
    expect(page.get_by_role("heading", name="update_crm")).to_be_visible()
    page.get_by_role("link", name=PARENT[:8]).click()
    expect(page.get_by_role("heading", name="import_all")).to_be_visible()


def test_two_children_that_are_one_job_stay_two_when_they_are_read_again(
    page: Page, dashboard: str
) -> None:
    one = {"id": "c" * 32, "job": {**JOB, "id": "c" * 32}}
    twice = [{**one, "key": "invite ada"}, {**one, "key": "invite grace"}]
    asked = answer(page, f"/jobs/{PARENT}", {**JOB, "id": PARENT, "status": "running"})
    answer(page, f"/jobs/{PARENT}/children", {"children": twice, "cursor": None})
    page.goto(f"{dashboard}#/job/{PARENT}")
    items = page.get_by_role("region", name="Children").get_by_role("listitem")
    expect(items).to_have_text([re.compile("invite ada"), re.compile("invite grace")])
    while len(asked) < 3:
        page.wait_for_timeout(200)
    expect(items).to_have_text([re.compile("invite ada"), re.compile("invite grace")])


def test_a_job_tells_who_did_what_with_it(page: Page, dashboard: str) -> None:
    shown(page, dashboard, requeued_by="operator:user-2")
    facts = page.locator("dl.facts")
    expect(facts).to_contain_text("Created byoperator:user-1")
    expect(facts).to_contain_text("Retried byoperator:user-2")
    expect(facts).not_to_contain_text("Canceled by")


def test_a_token_that_may_not_list_children_sees_the_job_all_the_same(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("403")
    answer(page, f"/jobs/{JOB['id']}", {**JOB, "status": "running"}, Retry_After="1")
    refusal = {"title": "No", "detail": "only readers may do this"}
    asked = answer(page, f"/jobs/{JOB['id']}/children", refusal, 403)
    asked_for_log = answer(page, f"/jobs/{JOB['id']}/logs", refusal, 403)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    with page.expect_response(re.compile(f"/jobs/{JOB['id']}$")):
        pass
    expect(page.get_by_role("alert")).to_have_count(0)
    assert len(asked) == 1
    assert len(asked_for_log) == 1


# --- the log --------------------------------------------------------------------------------------


def test_a_job_shows_what_it_has_logged(page: Page, dashboard: str, failed: str) -> None:
    page.goto(f"{dashboard}#/job/{failed}")
    logs = page.get_by_role("region", name="Logs")
    lines = logs.get_by_role("group")

    def read() -> None:
        logs.get_by_role("button", name=re.compile("Show lines|Refresh")).click()
        expect(lines.or_(logs.get_by_text("No log lines yet."))).to_be_visible()
        expect(lines).to_contain_text("ERROR failed", timeout=3000)

    for _ in range(5):  # lines appear some seconds late
        try:
            read()
        except AssertionError:
            continue
        break
    expect(lines).to_contain_text("ERROR failed")
    expect(lines).to_contain_text("Attempt 1, invocation 1")
    expect(lines).to_contain_text("Traceback (most recent call last)")


def test_the_log_of_a_running_job_grows_by_itself(page: Page, dashboard: str) -> None:
    running = {**JOB, "status": "running", "finished_at": None, "error": None}
    answer(page, f"/jobs/{JOB['id']}", running, Retry_After="1")
    both: Any = LOG["lines"]
    first, last = both
    answer(page, f"/jobs/{JOB['id']}/logs", {"lines": [first], "complete": True})
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    lines = page.get_by_role("region", name="Logs").get_by_role("group")
    expect(lines).to_contain_text("INFO claimed")
    asked = answer(page, f"/jobs/{JOB['id']}/logs", {"lines": [first, last], "complete": True})
    answer(page, f"/jobs/{JOB['id']}", JOB)
    expect(lines).to_contain_text("ERROR failed")
    expect(page.get_by_text("live", exact=True)).to_be_hidden()
    assert len(asked) <= 2  # no more than that, once it has ended


def test_of_a_log_that_is_too_long_it_is_said_that_there_is_more(
    page: Page, dashboard: str
) -> None:
    answer(page, f"/jobs/{JOB['id']}/logs", LOG)
    shown(page, dashboard)
    page.get_by_role("button", name="Show lines").click()
    expect(page.get_by_role("group", name="2 log lines").get_by_role("listitem")).to_have_text(
        [
            "Attempt 3, invocation 1",
            "13:10:01.250 INFO claimed wait_ms=8",
            "Attempt 3, invocation 2",
            re.compile("13:10:01.250 ERROR failed.*Traceback: x"),
        ]
    )
    expect(page.get_by_text("Only part of the log is shown.")).to_be_visible()


def test_where_the_log_can_not_be_read_it_says_why_and_has_a_command(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("404")
    answer(page, f"/jobs/{JOB['id']}/logs", {"title": "No", "detail": "Its role may not."}, 404)
    shown(page, dashboard)
    page.get_by_role("button", name="Show lines").click()
    expect(page.get_by_text("Its role may not.")).to_be_visible()
    expect(page.get_by_role("button", name="Copy command")).to_be_visible()
    expect(page.get_by_role("button", name="Show lines")).to_be_enabled()


# --- run again ------------------------------------------------------------------------------------


def test_a_job_that_succeeded_is_run_again_after_a_question(
    page: Page, dashboard: str, local: Local, succeeded: str
) -> None:
    page.goto(f"{dashboard}#/job/{succeeded}")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("button", name="Not now").click()
    assert page.url.endswith(succeeded)
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: not url.endswith(succeeded))
    expect(page.locator(".title .status")).to_have_text("succeeded")
    new = local.api.get(f"/jobs/{page.url.split('/')[-1]}").json
    assert (new["job_type"], new["payload"]) == ("export_contacts", {"campaign": "spring"})


def test_one_that_is_run_again_and_meets_another_as_the_same_work_says_so(
    page: Page, dashboard: str
) -> None:
    there = {**JOB, "id": "b" * 32, "status": "queued", "error": None, "finished_at": None}
    answer(page, f"/jobs/{JOB['id']}", {**JOB, "status": "succeeded", "error": None})
    answer(page, f"/jobs/{JOB['id']}/rerun", there, 202, Unique_Outcome="replaced")
    answer(page, f"/jobs/{there['id']}", there)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    words = "Job bbbbbbbb does the same work, and takes this payload and time"
    expect(page.get_by_role("status").first).to_have_text(words)
