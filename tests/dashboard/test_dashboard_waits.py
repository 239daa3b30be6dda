"""What the page says of jobs that wait, of times and of who did it, in a browser."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints
from faked_answers import JOB, answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (
            {"waits_for": {"kind": "line", "name": "imports", "key": "*"}, "ahead": 12},
            "Waiting for capacity in queue imports. Ahead of it: 12 jobs.",
        ),
        (
            {"waits_for": {"kind": "line", "name": "imports", "key": "acme"}, "ahead": 0},
            "Waiting for capacity in queue imports, acme. Next in line.",
        ),
        (  # as viewers are told, where the key is of the payload
            {"waits_for": {"kind": "line", "name": "imports", "key": None}, "ahead": None},
            "Waiting for capacity in queue imports.",
        ),
        (
            {
                "waits_for": {"kind": "line", "name": "imports", "key": "*"},
                "ahead": 1000,
                "more_ahead": True,
                "of_organization": True,
            },
            "Ahead of it: at least 1,000 jobs of its organization.",
        ),
        (
            {
                "waits_for": {"kind": "line", "name": "imports", "key": "*"},
                "ahead": 0,
                "of_organization": True,
            },
            "Waiting for capacity in queue imports. Next in line of its organization.",
        ),
        (
            {"waits_for": {"kind": "job_type", "name": "count", "key": None}, "ahead": 1},
            "Waiting until the job type count is resumed. Ahead of it: 1 job.",
        ),
        (
            {"waits_for": {"kind": "queue", "name": "imports", "key": None}, "ahead": 1},
            "Waiting until the queue imports is resumed.",
        ),
    ],
)
def test_a_job_that_waits_says_what_for_and_its_place_in_line(
    page: Page, dashboard: str, place: dict[str, Any], words: str
) -> None:
    waits = {"waits_for": place["waits_for"], "waiting_since": JOB["queued_at"]}
    job = {**JOB, "status": "waiting", "error": None, "finished_at": None, **waits}
    answer(page, f"/jobs/{JOB['id']}", job)
    answer(
        page, f"/jobs/{JOB['id']}/place", {"more_ahead": False, "of_organization": False, **place}
    )
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.locator("p.waits")).to_contain_text(words)
    expect(page.locator("p.waits a")).to_have_attribute("href", re.compile("^#/queues"))


QUESTION = {"name": "approval", "text": "Refund <b>7</b>?", "choices": ["approve", "reject"]}


def waiting_for_an_answer(page: Page, questions: Any) -> list[Any]:
    """Let a job wait for signals. Return the answers that the page sends."""
    since, until = JOB["queued_at"], "2099-11-24T12:00:00.000Z"
    names = ["approval"]
    wait = {"kind": "signal", "name": "approval", "key": None, "since": since, "until": until}
    waits = {"waits_for": {**wait, "names": names}, "waiting_since": since}
    job = {**JOB, "status": "waiting", "error": None, "finished_at": None, **waits}
    answer(page, f"/jobs/{JOB['id']}", job)
    place = {"waits_for": waits["waits_for"], "ahead": None, "questions": questions}
    answer(page, f"/jobs/{JOB['id']}/place", place)
    return answer(page, f"/jobs/{JOB['id']}/signals/approval", job)


def test_an_operator_answers_a_job_with_a_choice(page: Page, dashboard: str) -> None:
    sent = waiting_for_an_answer(page, [QUESTION])
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    question = page.get_by_role("region", name="Answer approval")
    expect(question.get_by_text("Refund <b>7</b>?")).to_be_visible()
    expect(question.get_by_role("button")).to_have_text(["approve", "reject"])
    question.get_by_role("button", name="reject").click()
    expect(page.get_by_role("dialog")).to_contain_text('The job gets "reject" as the signal')
    page.get_by_role("dialog").get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Answered")).to_be_visible()
    assert [(each.method, each.post_data_json) for each in sent] == [("PUT", {"value": "reject"})]


def test_an_operator_answers_a_job_with_json(page: Page, dashboard: str) -> None:
    sent = waiting_for_an_answer(page, [{"name": "approval", "text": None, "choices": []}])
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    field = page.get_by_label("JSON value of approval")
    field.fill("yes")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("The value isn't JSON.")).to_be_visible()
    field.fill('{"ok": true}')
    page.get_by_role("button", name="Answer").click()
    page.get_by_role("dialog").get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Answered")).to_be_visible()
    assert [each.post_data_json for each in sent] == [{"value": {"ok": True}}]


def test_without_the_permission_there_is_nothing_to_answer_with(page: Page, dashboard: str) -> None:
    waiting_for_an_answer(page, None)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.locator("p.waits")).to_contain_text("Waiting for signal approval.")
    expect(page.get_by_role("region", name="Answer approval")).to_have_count(0)


def test_a_job_is_shown_though_its_place_can_not_be_told(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("404")
    line = {"kind": "line", "name": "imports", "key": "*"}
    answer(page, f"/jobs/{JOB['id']}", {**JOB, "status": "waiting", "waits_for": line})
    answer(page, f"/jobs/{JOB['id']}/place", {"detail": "no such job"}, 404)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.get_by_role("heading", name="count_words")).to_be_visible()
    expect(page.locator(".title .status")).to_have_text("waiting")


def test_the_list_says_whether_a_waiting_job_is_paused_or_in_line(
    page: Page, dashboard: str
) -> None:
    found = [("c", "line", "in line"), ("d", "queue", "paused"), ("e", "job_type", "paused")]
    jobs = [
        {
            **JOB,
            "id": letter * 32,
            "status": "waiting",
            "waits_for": {"kind": kind, "name": "x", "key": "*"},
        }
        for letter, kind, _ in found
    ]
    answer(page, "/jobs", {"jobs": jobs, "cursor": None})
    page.goto(f"{dashboard}#/")
    shown = page.locator("table.jobs td.progress")
    expect(shown).to_have_count(3)
    assert shown.all_inner_texts() == [words for *_, words in found]


def test_a_job_that_does_not_wait_is_asked_for_no_place(page: Page, dashboard: str) -> None:
    answer(page, f"/jobs/{JOB['id']}", JOB)
    asked = answer(page, f"/jobs/{JOB['id']}/place", {})
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.locator("dl.facts")).to_be_visible()
    assert (asked, page.locator("p.waits").count()) == ([], 0)


def test_a_job_says_when_in_both_ways_and_who_did_what(page: Page, dashboard: str) -> None:
    page.clock.install(time="2026-11-24T16:05:00Z")
    job = {
        **JOB,
        "created_by": "operator:ada",
        "requeued_by": "service",
        "canceled_by": None,
    }
    answer(page, f"/jobs/{JOB['id']}", job)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    facts = page.locator("dl.facts")
    expect(facts).to_contain_text(re.compile(r"Created4 h ago, .*2026"))
    expect(facts).to_contain_text("Created byoperator:ada")
    expect(facts).to_contain_text("Retried byservice")
    expect(facts).not_to_contain_text("Canceled by")
