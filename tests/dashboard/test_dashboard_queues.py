"""What the page says of queues, of jobs that wait, of times and of who did it, in a browser."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser import Complaints, opened
from dashboard_pages import serious
from faked_answers import JOB, answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

NOW = "2026-11-24T13:00:00Z"
SINCE = "2026-11-24T12:56:00Z"
PAUSED = {
    "kind": "queue", "name": "webhooks", "paused_at": "2026-11-24T09:10:00.000Z",
    "paused_by": "service:ada", "waiting": 312, "more_waiting": False,
    "oldest_waiting_since": "2026-11-24T10:00:00Z",
}  # fmt: skip
LIMITS = {
    "slots": 2,
    "rate": None,
    "per": None,
    "order": "fifo",
    "max_waiting": 10_000,
    "words": "2 slots, at most 10,000 waiting",
}
RATE = {"count": 30, "seconds": 60, "burst": 5}


def key(name: str, *holders: str, **changes: Any) -> dict[str, Any]:
    held = [{"job_id": each, "organization_id": "acme", "since": SINCE} for each in holders]
    none = {"waiting": 0, "more_waiting": False, "oldest_waiting_since": None}
    return {
        "key": name, "slots_in_use": len(held), "holders": held, **none, "next_start_at": None,
        **changes,
    }  # fmt: skip


def queue(name: str, *keys: dict[str, Any], **changes: Any) -> dict[str, Any]:
    nobody = {
        "changed_at": None,
        "changed_by": None,
        "paused": None,
        "keys_cursor": None,
        "may_limit": True,
    }
    return {
        "name": name, "limits": None, "declared_limits": None, "keys": list(keys), **nobody,
        **changes,
    }  # fmt: skip


_WORDS = "1 slot, per organization_id and campaign"
CAMPAIGNS = {**LIMITS, "slots": 1, "per": "organization_id, campaign", "words": _WORDS}
QUEUES = [
    queue("default"),
    queue(
        "imports",
        key("*", "a" * 32, "b" * 32, waiting=12, oldest_waiting_since=SINCE),
        limits=LIMITS,
        changed_at=SINCE,
        changed_by="service:ada",
    ),
    queue(
        "mailings",
        key("acme:spring", "c" * 32, waiting=1000, more_waiting=True, oldest_waiting_since=SINCE),
        key("acme:<b>autumn</b>"),
        limits=CAMPAIGNS,
        keys_cursor="further",
    ),
    queue(
        "texts",
        key("*", waiting=1, next_start_at="2026-11-24T13:00:30Z"),
        limits={**LIMITS, "slots": None, "rate": RATE, "words": "30 starts per 60 s"},
    ),
    queue("webhooks", paused=PAUSED),
]

BACKLOG = [
    {
        "queue_name": "default", "job_type": job_type, "running": running, "waiting": waiting,
        "oldest_waiting_since": since, "oldest_waiting_id": since and "d" * 32,
    }
    for job_type, running, waiting, since in (
        ("count_words", 2, 900, SINCE), ("old", 0, 40, "2026-11-24T12:57:00Z"),
        ("quick", 3, 0, None),
    )
]  # fmt: skip


def queues_page(page: Page, dashboard: str) -> None:
    """Open the page of queues, with faked answers."""
    page.clock.install(time=NOW)
    types = [{"name": "count_words", "queue_name": "default", "queues": []}]
    answer(page, "/queues", {"queues": QUEUES, "cursor": None})
    answer(page, "/backlog", {"jobs": BACKLOG, "more": True})
    answer(page, "/paused", {"paused": [PAUSED, {**PAUSED, "kind": "job_type", "name": "old"}]})
    answer(page, "/job-types", {"jobs": types, "tasks": []})
    page.goto(f"{dashboard}#/queues")
    expect(row(page, "webhooks")).to_be_visible()


def row(page: Page, name: str) -> Locator:
    named = page.locator("td.what").get_by_text(name, exact=True)
    return page.get_by_role("row").filter(has=named).first  # a job type has a row of its own later


def cells(page: Page, name: str) -> list[str]:
    """Return what the cells of a row say, without its switch."""
    texts = row(page, name).get_by_role("cell").all_inner_texts()
    return [" ".join(each.split()) for each in texts]


def test_the_page_says_who_uses_each_queue_and_who_waits(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    changed = "2 slots, at most 10,000 waiting changed 4 min ago by service:ada"
    assert cells(page, "imports") == [
        *("imports", "2 of 2", "12", "4 min", "All slots are busy"), changed, "",
    ]  # fmt: skip
    words = CAMPAIGNS["words"]
    assert cells(page, "mailings") == [
        "mailings",
        "1 of 1",
        "at least 1,000",
        "4 min",
        "",
        words,
        "",
    ]
    assert cells(page, "acme:spring")[1:5] == [
        *("1 of 1", "at least 1,000", "4 min", "All slots are busy"),
    ]  # fmt: skip
    assert cells(page, "acme:<b>autumn</b>")[1:5] == ["0 of 1", "0", "", ""]
    waiting, _, why, words = cells(page, "texts")[2:6]
    assert (waiting, words) == ("1", "30 starts per 60 s")
    assert re.fullmatch(r"Rate limit: next start in \d+ s", why)
    assert cells(page, "webhooks")[2:5] == [
        *("312 held by the pause", "3 h", "Paused 4 h ago by service:ada"),
    ]  # fmt: skip
    expect(row(page, "More keys").get_by_role("link")).to_have_attribute(
        "href", "#/queues/mailings"
    )
    row(page, "imports").get_by_text("2 of 2").click()
    holder = row(page, "imports").get_by_role("link", name="a" * 8)
    expect(holder).to_have_attribute("href", f"#/job/{'a' * 32}")


def test_a_queue_without_limits_says_what_waits_by_job_type(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    stuck = "No worker takes them Check the worker's concurrency and errors"
    assert cells(page, "default")[:5] == [
        *("default", "at least 5", "at least 940", "at least 4 min oldest job", stuck),
    ]  # fmt: skip
    words = cells(page, "count_words")
    assert words[1:5] == ["at least 2", "at least 900", "at least 4 min oldest job", stuck]
    assert cells(page, "old")[4] == "The job type is paused"
    assert cells(page, "quick")[1:5] == ["at least 3", "none counted", "", ""]
    oldest = row(page, "default").get_by_role("link", name="oldest job")
    expect(oldest).to_have_attribute("href", f"#/job/{'d' * 32}")
    expect(page.get_by_text("So these numbers are minimums.")).to_be_visible()
    # What has waited longest comes first.
    assert page.locator("a.named").all_inner_texts()[:2] == ["webhooks", "default"]
    answer(page, "/backlog", {"jobs": BACKLOG, "more": False})
    page.clock.run_for(11_000)
    expect(page.get_by_text("So these numbers are minimums.")).to_have_count(0)
    assert cells(page, "quick")[1:5] == ["3", "0", "", ""]


def test_the_page_says_what_a_pause_does_and_what_is_paused(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    expect(page.locator(".lead")).to_contain_text(
        "A running job stops when it next saves a checkpoint with a cursor"
    )
    expect(row(page, "webhooks")).to_contain_text("Paused 4 h ago")
    expect(row(page, "webhooks").get_by_role("switch")).to_be_checked()
    types = page.get_by_role("region", name="Job types")
    assert types.get_by_role("switch").count() == 2
    expect(types.get_by_role("switch", name="Pause count_words")).not_to_be_checked()
    old = types.locator("tr[data-key=old]")
    expect(old).to_contain_text("312 held by the pause")
    resumed = answer(page, "/paused/job_type/old", "", 204)
    old.get_by_role("switch", name="Pause old").click()
    expect(page.get_by_role("status")).to_contain_text("old is resumed")
    assert [each.method for each in resumed] == ["DELETE"]


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_and_is_for_everybody(
    browser: Browser, complaints: Complaints, dashboard: str, width: int
) -> None:
    with opened(browser, complaints, viewport={"width": width, "height": 800}) as page:
        queues_page(page, dashboard)
        assert serious(page) == []
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0


def test_a_queue_has_a_page_with_all_its_keys(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    name = "a b?"
    answer(
        page,
        "/queues/a%20b%3F",
        queue(name, key("first"), limits=LIMITS, keys_cursor="further"),
    )
    page.get_by_label("Find a queue").fill(name)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(row(page, "first")).to_be_visible()
    with page.expect_request("**/queues/a%20b%3F?cursor=further&limit=100"):
        page.get_by_role("link", name="More keys").click()
    expect(page).to_have_url(re.compile("cursor=further$"))
    expect(page.get_by_role("switch", name=f"Pause {name}")).not_to_be_checked()


def limits_fields(page: Page) -> dict[str, str]:
    """Return what is filled in of a queue's limits, and of the others what the code says."""
    inputs = page.get_by_role("region", name="Change limits").locator("input")
    expect(inputs).to_have_count(5)  # `all` doesn't wait
    return {
        str(each.get_attribute("name")): each.input_value()
        or f"({each.get_attribute('placeholder')})"
        for each in inputs.all()
    }


def test_a_queue_is_limited_and_reset_on_its_page(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    """On the real API, for a queue that nothing else uses."""
    complaints.expected.append("422")
    page.goto(f"{dashboard}#/queues/limited_manually")
    limits = row(page, "limited_manually").locator("td.limits")
    expect(limits).to_have_text("none")
    assert limits_fields(page) == {
        "slots": "(none)",
        "max_waiting": "(10000)",
        "count": "(none)",
        "seconds": "(none)",
        "burst": "(none)",
    }
    page.get_by_label("Slots").fill("3")
    page.get_by_label("Rate: starts", exact=True).fill("30")
    page.get_by_label("Rate: seconds").fill("60")
    change = page.get_by_role("button", name="Change limits")
    change.click()
    expect(limits).to_contain_text("3 slots, 30 starts per 60 s")
    expect(page.get_by_label("Slots")).to_have_value("3")
    assert serious(page) == []
    page.get_by_label("Slots").fill("101")
    change.click()
    expect(page.get_by_role("status")).to_contain_text("The field slots is invalid")
    page.get_by_role("button", name="Reset limits").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset limits").click()
    expect(limits).to_have_text("none")
    expect(page.get_by_label("Slots")).to_have_value("")
    expect(page.get_by_role("button", name="Reset limits")).to_have_count(0)


def test_a_change_of_limits_says_all_of_a_rate_and_leaves_the_rest_to_the_code(
    page: Page, dashboard: str
) -> None:
    declared = {**LIMITS, "rate": RATE}
    changed = {"limits": {**declared, "slots": 4}, "changed_at": SINCE, "changed_by": "service"}
    asked = answer(page, "/queues/texts", queue("texts", declared_limits=declared, **changed))
    page.goto(f"{dashboard}#/queues/texts")
    assert limits_fields(page) == {
        "slots": "4",
        "max_waiting": "(10000)",
        "count": "(30)",
        "seconds": "(60)",
        "burst": "(5)",
    }
    page.get_by_label("Rate: starts", exact=True).fill("10")
    page.get_by_label("Slots").fill("")
    page.get_by_role("button", name="Change limits").click()
    expect(page.get_by_role("status")).to_contain_text("Limits changed")
    (put,) = [each for each in asked if each.method == "PUT"]
    assert put.post_data_json == {"rate": {"count": 10, "seconds": 60, "burst": 5}}


def test_who_may_not_limit_a_queue_is_offered_no_form(page: Page, dashboard: str) -> None:
    answer(page, "/queues/texts", queue("texts", limits=LIMITS, may_limit=False))
    page.goto(f"{dashboard}#/queues/texts")
    expect(row(page, "texts")).to_be_visible()
    expect(page.get_by_role("region", name="Change limits")).to_have_count(0)


# --- a job that waits -----------------------------------------------------------------------------


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
    assert serious(page) == []
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
