"""The dashboard's forms in a browser: what they make of a schema, and send."""

import json

import pytest
from playwright.sync_api import Page, Route, expect

from browser import Complaints
from faked_answers import JOB, answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

SCHEMA = {
    "type": "object",
    "$defs": {
        "Colour": {"enum": ["red", "green"], "type": "string"},
        "Place": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["city"],
        },
    },
    "properties": {
        "words": {"type": "array", "items": {"type": "string"}},
        "colour": {"$ref": "#/$defs/Colour"},
        "place": {"$ref": "#/$defs/Place"},
        "ratio": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "dry_run": {"type": "boolean", "default": True},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        "note": {"type": "string", "default": "", "maxLength": 5000},
    },
    "required": ["words", "colour", "place"],
}


def test_a_form_is_made_from_the_schema(page: Page, dashboard: str) -> None:
    queues = {"queue_name": "default", "queues": ["default", "urgent", "nightly"]}
    types = [{"name": "count_words", "payload_schema": SCHEMA, "worker": "large", **queues}]
    answer(page, "/job-types", {"jobs": types, "tasks": []})
    sent = answer(page, "/jobs", JOB, 202)
    answer(page, f"/jobs/{JOB['id']}", JOB)
    page.goto(f"{dashboard}#/new")
    expect(page.get_by_text("It runs in the worker class large.")).to_be_visible()
    page.get_by_text("Start time and queue").click()
    expect(
        page.get_by_text("Leave empty for default. Also allowed: urgent, nightly.")
    ).to_be_visible()
    page.get_by_label("Words").fill("one\ntwo, three\n")
    page.get_by_label("Colour").select_option("green")
    page.get_by_role("group", name="Place").get_by_label("City").fill("Boise, ID")
    page.get_by_label("Ratio").fill("0.5")
    page.get_by_label("Dry run").uncheck()
    page.get_by_label("Extra").fill('{"a": 1}')
    page.get_by_role("button", name="Dispatch").click()
    expect(page.get_by_role("heading", name="count_words")).to_be_visible()
    (request,) = (each for each in sent if each.method == "POST")
    assert request.post_data_json == {
        "job_type": "count_words",
        "organization_id": "default",
        "payload": {
            "words": ["one", "two, three"],
            "colour": "green",
            "place": {"city": "Boise, ID"},
            "ratio": 0.5,
            "dry_run": False,
            "extra": {"a": 1},
        },
    }
    assert request.headers["idempotency-key"]


def test_a_dispatch_that_meets_another_job_as_the_same_work_says_so(
    page: Page, dashboard: str
) -> None:
    types = [{"name": "count_words", "payload_schema": {}, "queue_name": "default"}]
    answer(page, "/job-types", {"jobs": types, "tasks": []})
    answer(page, "/jobs", {**JOB, "status": "running"}, 202, Unique_Outcome="returned")
    answer(page, f"/jobs/{JOB['id']}", JOB)
    page.goto(f"{dashboard}#/new")
    page.get_by_role("button", name="Dispatch").click()
    words = "Already running as aaaaaaaa (same work)"
    expect(page.get_by_role("status")).to_have_text(words)


def test_the_same_form_sent_again_after_no_answer_asks_for_the_same_job(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("ERR_FAILED")
    types = [{"name": "count_words", "payload_schema": {}, "queue_name": "default"}]
    answer(page, "/job-types", {"jobs": types, "tasks": []})
    keys: list[str] = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        route.abort()

    page.route("**/jobs", lose)
    page.goto(f"{dashboard}#/new")
    for json_text in ("{}", "{}", '{"a": 1}'):
        page.get_by_label("JSON").fill(json_text)
        with page.expect_event("requestfailed"):
            page.get_by_role("button", name="Dispatch").click()
        expect(page.get_by_role("alert")).to_contain_text("Can't reach the API.")
    assert keys[0] == keys[1] != keys[2]


def test_a_number_too_large_for_javascript_keeps_its_digits(page: Page, dashboard: str) -> None:
    number = "12345678901234567890"
    answer(page, f"/jobs/{JOB['id']}", json.dumps({**JOB, "payload": {"n": 0}}).replace(
        '"n": 0', f'"n": {number}'
    ))  # fmt: skip
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}}}
    types = [{"name": "count_words", "payload_schema": schema, "queue_name": "default"}]
    answer(page, "/job-types", {"jobs": types, "tasks": []})
    retries = answer(page, "/retry", JOB, 202)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.get_by_role("region", name="Payload").last).to_contain_text(number)
    page.get_by_role("link", name="Edit and retry").click()
    page.locator("form").get_by_label("M").fill("-5")
    page.get_by_role("button", name="Retry with this payload").click()
    expect(page.get_by_text("Queued for a retry with the edited payload")).to_be_visible()
    assert retries[0].post_data == f'{{"payload":{{"n":{number},"m":-5}}}}'
