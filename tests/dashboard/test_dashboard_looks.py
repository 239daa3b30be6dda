"""Every page of the dashboard is for everybody: axe finds nothing in light or dark mode, on a phone
or a laptop, and no page scrolls sideways."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from browser import Complaints
from dashboard_pages import looks
from failure_answers import KEPT, NEW, SOLVED, UNKEPT
from faked_answers import JOB, answer
from job_answers import CHILDREN, EARLIER, LOG, PARENT, RECORDS
from queue_answers import BACKLOG, LIMITS, NOW, OLD, PAUSED, QUEUES, TYPES, backlog, key, queue
from schedule_answers import SCHEDULES

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

LONG = "uploads/2026/customers/acme-international-limited/contacts-of-the-autumn-campaign.csv"
ID = JOB["id"]
OPEN = {**JOB, "status": "running", "error": None, "finished_at": None}
SIGNAL = {
    "kind": "signal", "name": "approval", "key": None, "names": ["approval"],
    "since": JOB["queued_at"], "until": "2099-11-24T12:00:00.000Z",
}  # fmt: skip
QUESTIONS = [
    {"name": "approval", "text": f"Import {LONG}?", "choices": ["approve", "reject"]},
    {"name": "reason", "text": None, "choices": []},
]
SCHEMA = {
    "type": "object",
    "required": ["key"],
    "properties": {
        "key": {"type": "string", "description": f"Such as {LONG}"},
        "dry_run": {"type": "boolean"},
        "color": {"enum": ["green", "red"]},
        "extra": {"type": "object"},
    },
}
FORM = {
    "name": "import_contacts", "description": "Import contacts.", "queue_name": "imports",
    "queues": ["imports", "urgent"], "internal": False, "payload_schema": SCHEMA, "worker": None,
}  # fmt: skip
GROUP = {
    "name": "members", "total": 1200, "open": 300, "succeeded": 893, "failed": 7, "canceled": 0,
    "existing": 0, "progress": 75, "as_of": None,
}  # fmt: skip
MEMBER = {
    "key": LONG, "id": "c" * 32, "status": "failed",
    "error": {"kind": "KeyError", "message": LONG}, "job": {**JOB, "id": "c" * 32},
}  # fmt: skip
JOBS = [
    JOB,
    {**OPEN, "id": "b" * 32, "concurrency_key": LONG, "result_message": LONG},
    {**OPEN, "id": "c" * 32, "status": "queued", "job_type": "import_contacts"},
    {**OPEN, "id": "d" * 32, "status": "waiting", "waits_for": SIGNAL},
    {**JOB, "id": "e" * 32, "status": "succeeded", "error": None},
    {**JOB, "id": "f" * 32, "status": "canceled", "error": None},
]
MISSING = {"title": "Not found", "detail": "There is none."}


def timeline(records: Any) -> dict[str, Any]:
    """Return a timeline as the API returns it."""
    acts = [{"at": JOB["created_at"], "what": "dispatched", "by": f"operator:{LONG}"}]
    return {"records": records, "acts": acts, "gaps": [2], "complete": False}


def answer_all(page: Page) -> None:
    """Answer every call of the API as on a busy stack."""
    answer(page, "/jobs", {"jobs": JOBS, "cursor": "more"})
    answer(page, "/queues", {"queues": QUEUES, "cursor": "more"})
    answer(page, "/queues/texts", queue("texts", key("*", "a" * 32), limits=LIMITS, changed_at=NOW))
    answer(page, "/backlog", backlog(BACKLOG))
    answer(page, "/paused", {"paused": [PAUSED, OLD]})
    answer(page, "/job-types", {"jobs": [*TYPES, FORM], "tasks": []})
    answer(page, "/error-groups", {"error_groups": [NEW, SOLVED], "complete": True})
    answer(page, "/tasks/failed", {"tasks": [KEPT, UNKEPT], "cursor": "more"})
    answer(page, "/schedules", {"schedules": SCHEDULES, "cursor": "more"})


def answer_job(page: Page, **fields: Any) -> None:
    """Answer with a job that has everything."""
    answer(page, f"/jobs/{ID}", {**JOB, "payload": {"key": LONG}, **fields})
    answer(page, f"/jobs/{ID}/timeline", timeline(RECORDS))
    answer(page, f"/jobs/{ID}/children", CHILDREN)
    answer(page, f"/jobs/{ID}/groups", {"groups": [GROUP]})
    answer(page, f"/jobs/{ID}/logs", LOG)
    place = {"waits_for": SIGNAL, "ahead": None, "questions": QUESTIONS}
    answer(page, f"/jobs/{ID}/place", place)
    answer(page, f"/batches/{ID}/members", {"members": [MEMBER], "cursor": "more"})


def a_job_that_failed(page: Page) -> Locator:
    page.get_by_role("button", name="Show lines").click()
    page.get_by_role("button", name="Attempt 1").click()
    page.get_by_text("Traceback", exact=True).first.click()
    expect(page.get_by_role("region", name="Children")).to_be_visible()
    return page.get_by_text("Attempt 3, invocation 2")


def a_job_that_runs(page: Page) -> Locator:
    page.get_by_role("button", name="Attempt 1").click()
    return page.get_by_role("rowheader", name="step print … ×998")


def a_batch(page: Page) -> Locator:
    page.get_by_role("button", name="7 failed").click()
    return page.get_by_role("listitem").get_by_text(LONG).first


def a_dialog(page: Page) -> Locator:
    page.get_by_role("button", name="Delete").click()
    return page.get_by_role("dialog")


def selected_jobs(page: Page) -> Locator:
    expect(page.get_by_role("note")).to_contain_text("Paused")
    page.get_by_label("Select all listed jobs").check()
    return page.get_by_role("region", name="Selected jobs")


def a_payload(page: Page) -> Locator:
    page.get_by_text("Payload").first.click()
    return page.get_by_role("group", name="as JSON").first


def a_holder(page: Page) -> Locator:
    page.get_by_text("2 of 2").first.click()
    return page.get_by_role("link", name="a" * 8)


def a_form(page: Page) -> Locator:
    expect(page.get_by_label("Upload a file for Key")).to_be_attached()
    return page.get_by_role("button", name="Dispatch")


def says(words: str) -> Callable[[Page], Locator]:
    return lambda page: page.locator("main").get_by_text(words).first


WAITS = {**OPEN, "status": "waiting", "waits_for": SIGNAL}
EVERYTHING = {
    "earlier_errors": EARLIER,
    "parent_id": PARENT,
    "result": {"rows": 3},
    "unique_key": "x",
}
PAGES: dict[str, tuple[str, dict[str, Any], Callable[[Page], Locator]]] = {
    "jobs": ("#/?org=acme", {}, selected_jobs),
    "failed jobs": ("#/failed?org=acme", {}, says("no luck")),
    "failures": ("#/failed/groups", {}, says("KeyError")),
    "failed tasks": ("#/failed/tasks", {}, a_payload),
    "a job that failed": (f"#/job/{ID}", EVERYTHING, a_job_that_failed),
    "a job that runs": (f"#/job/{ID}", OPEN, a_job_that_runs),
    "a job that waits": (f"#/job/{ID}", WAITS, says("Import uploads")),
    "a batch": (f"#/job/{ID}", {"job_type": "batch"}, a_batch),
    "a dialog": (f"#/job/{ID}", {}, a_dialog),
    "queues": ("#/queues", {}, a_holder),
    "a queue": ("#/queues/texts", {}, says("Reset limits")),
    "schedules": ("#/schedules", {}, says("declared in code")),
    "a new schedule": ("#/schedules/new?type=import_contacts", {}, says("Save schedule")),
    "a new job": ("#/new?type=import_contacts", {}, a_form),
    "a retry": (f"#/retry/{ID}", {"job_type": "import_contacts"}, says("Retry with this payload")),
    "no job": (f"#/job/{'0' * 32}", {}, says("Job not found")),
    "no page": ("#/elsewhere", {}, says("Page not found")),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_while_it_loads_and_then(
    page: Page, dashboard: str, complaints: Complaints, name: str
) -> None:
    address, fields, act = PAGES[name]
    complaints.expected.append("404")
    page.clock.set_fixed_time(NOW)
    answer(page, f"/jobs/{'0' * 32}", MISSING, 404)
    answer_all(page)
    answer_job(page, **fields)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.resource_type == "fetch":
            held.append(route)
        else:
            route.fallback()

    page.route("**", hold)
    page.goto(dashboard + address)
    assert looks(page) == []
    page.unroute("**", hold)
    for route in held:
        route.fallback()
    expect(act(page)).to_be_visible()
    assert looks(page) == []


REFUSALS = [
    ("#/", 401, "This stack needs a token"),
    *((address, 503, "Try now") for address in ("#/", "#/queues", f"#/job/{ID}", f"#/retry/{ID}")),
]


@pytest.mark.parametrize(("address", "status", "words"), REFUSALS)
def test_a_refusal_is_for_everybody(
    page: Page, dashboard: str, complaints: Complaints, address: str, status: int, words: str
) -> None:
    complaints.expected.append(str(status))
    page.route("**", lambda route: refuse(route, status))
    page.goto(dashboard + address)
    expect(page.get_by_text(re.compile(words)).first).to_be_visible()
    assert looks(page) == []


def refuse(route: Route, status: int) -> None:
    """Refuse every call of the API."""
    if route.request.resource_type == "fetch":
        route.fulfill(status=status, json={"title": "Not now", "detail": LONG})
    else:
        route.fallback()
