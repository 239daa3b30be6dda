"""The dashboard in a browser: what the page of a job that is unique says, by its rule."""

from dataclasses import asdict
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from browser import Complaints
from faked_answers import JOB, answer
from job_runners.work import Unique

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.usefixtures("complaints")]

WAITS = {"status": "queued", "error": None, "finished_at": None, "expires_at": None}
KEPT_OUT = [
    (Unique(by=("lot",)), "prevents another job with the same lot until it ends"),
    (
        Unique(by=("list", "lot")),
        "prevents another job with the same list and lot until it ends",
    ),
    (Unique(by=(), on_conflict="replace"), "prevents another job of its type until it ends"),
    (
        Unique(by=("lot",), until="started"),
        "prevents another job with the same lot until it starts",
    ),
]


def types(*unique: Unique | None) -> dict[str, Any]:
    """Return what GET /job-types tells of the one type that there is, if there is one."""
    about = {"name": "count_words", "payload_schema": {}, "queue_name": "default"}
    return {"jobs": [about | {"unique": rule and asdict(rule)} for rule in unique], "tasks": []}


def fact(page: Page, dashboard: str, key: str | None = "c" * 32) -> Locator:
    """Open the page of a job; return what it says of it as unique work. A job without a key has
    ended, because the page of one that waits reads the job types to say why."""
    answer(page, f"/jobs/{JOB['id']}", {**JOB, **(WAITS if key else {}), "unique_key": key})
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    expect(page.get_by_role("heading", name="count_words")).to_be_visible()
    return page.locator(".facts [data-key=Unique] dd")


@pytest.mark.parametrize(("rule", "words"), KEPT_OUT)
def test_a_job_that_is_unique_says_what_it_keeps_out_and_until_when(
    page: Page, dashboard: str, rule: Unique, words: str
) -> None:
    answer(page, "/job-types", types(rule))
    expect(fact(page, dashboard)).to_have_text(words)


def test_one_whose_rule_nobody_knows_any_more_says_what_is_true_of_any(
    page: Page, dashboard: str
) -> None:
    answer(page, "/job-types", types())
    expect(fact(page, dashboard)).to_have_text("prevents another job with the same work")


def test_so_does_one_whose_rule_can_t_be_read(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("503")
    answer(page, "/job-types", {"title": "Try again"}, 503)
    expect(fact(page, dashboard)).to_have_text("prevents another job with the same work")


def test_a_job_that_keeps_nothing_out_says_nothing_of_it_and_asks_for_no_rule(
    page: Page, dashboard: str
) -> None:
    asked = answer(page, "/job-types", types(None))
    expect(fact(page, dashboard, None)).to_have_count(0)
    assert asked == []
