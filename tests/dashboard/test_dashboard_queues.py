"""What the page says of queues, in a browser."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints
from faked_answers import answer
from queue_answers import (
    BACKLOG,
    CAMPAIGNS,
    LIMITS,
    NOW,
    OLD,
    RATE,
    SINCE,
    TYPES,
    backlog,
    job_type,
    key,
    queue,
    queues_page,
    row,
)

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

USERS = {"imports": "abc", "texts": "defg"}  # a job type is a letter
BUSY = "All slots are busy The next one starts when"
NONE = "none seen"


def cells(page: Page, name: str) -> list[str]:
    """Return what the cells of a row say, without its switch."""
    texts = row(page, name).get_by_role("cell").all_inner_texts()
    return [" ".join(each.split()) for each in texts]


def test_the_page_says_who_uses_each_queue_and_who_waits(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    changed = "2 slots, at most 10,000 waiting changed 4 min ago by service:ada"
    since = ("4 min since 13:56", "4 min ago at 13:56")
    oldest = (f"{since[0]} oldest job", since[1])
    assert cells(page, "imports") == [
        *("imports import_file", "2 of 2", "12 waiting in line", *oldest),
        f"{BUSY} one of the 2 that run ends. The longest has run for 4 min",
        *(changed, "not paused"),
    ]  # fmt: skip
    first = row(page, "imports").get_by_role("link", name="oldest job")
    expect(first).to_have_attribute("href", f"#/job/{'e' * 32}")
    waits = ("1 of 1", "at least 1,000 waiting in line", *since)
    assert cells(page, "mailings") == ["mailings", *waits, "", CAMPAIGNS["words"], "not paused"]
    assert cells(page, "acme:spring")[1:6] == [
        *(*waits, f"{BUSY} the one that runs ends. It has run for 4 min")
    ]
    assert cells(page, "acme:<b>autumn</b>")[1:6] == ["0 of 1", "0", "", "", ""]
    waiting, _, _, why, words = cells(page, "texts")[2:7]
    assert (waiting, words) == ("1 waiting in line", "30 starts per 60 s")
    assert re.fullmatch(r"Rate limit: next start in \d+ s", why)
    held = ("312 waiting under the pause", "3 h since 11:00", "none found")
    assert cells(page, "webhooks")[2:6] == [*held, "Paused 4 h ago by service:ada"]
    expect(row(page, "More keys").get_by_role("link")).to_have_attribute(
        "href", "#/queues/mailings"
    )
    row(page, "imports").get_by_text("2 of 2").click()
    holder = row(page, "imports").get_by_role("link", name="a" * 8)
    expect(holder).to_have_attribute("href", f"#/job/{'a' * 32}")


def test_a_queue_without_limits_says_what_waits_by_job_type(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    since = "at least 4 min since 13:56"
    assert cells(page, "default")[:6] == [
        *("default", "at least 3", "at least 940 queued", since, "now at 14:00", ""),
    ]  # fmt: skip
    words = cells(page, "count_words")
    started = "10 min ago at 13:50"
    assert words[1:5] == [NONE, "at least 900 queued", f"{since} oldest job", started]
    assert words[5] == (
        "No worker starts them: none for 10 min Ruled out: a pause, a limit, failures since 13:50 "
        "(older ones). Since then, the same worker has started other jobs. Check the concurrency "
        "and code of the worker: run job-runners doctor."
    )
    assert cells(page, "old")[3:6] == [
        "at least 3 min since 13:57 oldest job", "none found",
        "old paused 4 h ago by service:ada Resume old",
    ]  # fmt: skip
    assert cells(page, "quick")[1:6] == ["at least 3", NONE, "", "now at 14:00", ""]
    oldest = row(page, "count_words").get_by_role("link", name="oldest job")
    expect(oldest).to_have_attribute("href", f"#/job/{'d' * 32}")
    expect(page.get_by_text("940 queued, 3 running. So these numbers are minimums")).to_be_visible()
    assert cells(page, "old")[2] == "at least 40 queued (held at their next check)"
    # What has waited longest comes first.
    assert page.locator("a.named").all_inner_texts()[:2] == ["webhooks", "default"]
    answer(page, "/backlog", backlog(more=False))
    page.clock.run_for(11_000)
    expect(page.get_by_text("So these numbers are minimums")).to_have_count(0)
    assert cells(page, "quick")[1:3] == ["3", "0"]


def test_a_queue_with_limits_counts_its_jobs_that_no_worker_has_met(
    page: Page, dashboard: str
) -> None:
    """No line has them yet."""
    found = {"queue_name": "imports", "oldest_waiting_since": _EIGHT}
    queues_page(page, dashboard, jobs=[waits("import_file", **found)])
    assert cells(page, "imports")[2:4] == [
        "12 waiting in line at least 900 queued", "at least 5 h since 09:00 oldest job",
    ]  # fmt: skip
    assert "No worker starts them" in cells(page, "imports")[5]
    first = row(page, "imports").get_by_role("link", name="oldest job")
    expect(first).to_have_attribute("href", f"#/job/{'d' * 32}")
    of_type = page.locator("tr[data-key=import_file] .waits")
    expect(of_type).to_contain_text("at least 900 queued")
    idle = queue("texts", key("*"), limits=LIMITS)
    answer(page, "/queues", {"queues": [idle], "cursor": None})
    for more, words in ((True, NONE), (False, "0")):
        answer(page, "/backlog", backlog([], more=more))
        page.clock.run_for(11_000)
        expect(row(page, "texts").locator(".waits")).to_have_text(words)


def waits(name: str, **changes: Any) -> dict[str, Any]:
    """Return the backlog of a job type."""
    return {**BACKLOG[0], "job_type": name, "last_started_at": None, **changes}


_EIGHT = "2026-11-24T08:00:00Z"
FAILURE = {"job_type": "count_words", "error_kind": "E", "last_seen_at": NOW}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"jobs": [waits("count_words")]}, "No other start since then was found."),
        (
            {
                "jobs": [waits("count_words"), waits("quick", last_started_at=NOW)],
                "types": [job_type("count_words", worker="slow"), job_type("quick")],
            },
            "Other workers have started jobs since then. Check the concurrency and code of worker "
            "slow",
        ),
        (
            {"jobs": [waits("count_words")], "failures": [FAILURE]},
            "Ruled out: a pause, a limit. No other start since then was found. Its jobs fail since "
            "13:56: see their errors.",
        ),
        (
            {"jobs": [waits("count_words", running=3)]},
            "Workers start fewer jobs than arrive Check the concurrency of the worker.",
        ),
        (
            {"jobs": [], "paused": [{**OLD, "name": "count_words", "oldest_queued_at": _EIGHT}]},
            "count_words paused 4 h ago by service:ada The oldest had already waited 70 min by "
            "then: no worker had started it",
        ),
        (
            {
                "jobs": [waits("quick", oldest_waiting_since=_EIGHT, last_started_at=SINCE)],
                "paused": [{**OLD, "name": "quick", "waiting": 0, "oldest_queued_at": None}],
            },
            "quick paused 4 h ago by service:ada The oldest had already waited 70 min by then: "
            "workers had started fewer jobs than arrived",
        ),
    ],
)
def test_it_says_what_else_explains_a_wait(
    page: Page, dashboard: str, answers: dict[str, Any], words: str
) -> None:
    queues_page(page, dashboard, **answers)
    name = "default" if len(answers["jobs"]) < 2 else "count_words"
    assert words in cells(page, name)[5]


def test_a_paused_queue_counts_what_its_pause_does_not_hold_yet(page: Page, dashboard: str) -> None:
    hooks = waits("quick", queue_name="webhooks", waiting=5, oldest_waiting_since=_EIGHT)
    queues_page(page, dashboard, jobs=[hooks], more=False)
    assert cells(page, "webhooks")[2:6] == [
        "312 waiting under the pause 5 more queued (held at their next check)",
        "5 h since 09:00 oldest job", "none found",
        "Paused 4 h ago by service:ada The oldest had already waited 70 min by then: no worker had "
        "started it",
    ]  # fmt: skip


def test_a_queue_names_three_job_types_and_shows_that_there_are_more(
    page: Page, dashboard: str
) -> None:
    types = [job_type(name, queue) for queue, names in USERS.items() for name in names]
    queues_page(page, dashboard, types=types, jobs=[], paused=[])
    for queue_name, words in (("imports", "a, b, c"), ("texts", "d, e, f, …")):
        expect(row(page, queue_name).locator(".what .words")).to_have_text(words)


def test_each_job_type_has_its_numbers(page: Page, dashboard: str) -> None:
    elsewhere = {**BACKLOG[0], "queue_name": "texts", "waiting": 8, "running": 1}
    texts = [job_type("send_text", "texts"), job_type("send_many_texts", "texts")]
    queues_page(page, dashboard, jobs=[*BACKLOG, elsewhere], more=False, types=[*TYPES, *texts])
    types = page.get_by_role("region", name="Job types")
    expect(types.locator("tr[data-key=count_words]")).to_contain_text("908 queued")
    expect(types.locator("tr[data-key=count_words] .use")).to_have_text("1")
    expect(types.locator("tr[data-key=quick] .waits")).to_have_text("0")
    # A type that shares a queue with limits can't be told from the others in line.
    expect(types.locator("tr[data-key=import_file] .waits")).to_have_text("12 waiting in line")
    link = types.locator("tr[data-key=send_text]").get_by_role("link", name="texts")
    expect(link).to_have_attribute("href", "#/queues/texts")


def test_the_page_says_what_a_pause_does_and_what_is_paused(page: Page, dashboard: str) -> None:
    queues_page(page, dashboard)
    expect(page.locator(".lead")).to_contain_text(
        "A running job stops when it next saves a checkpoint with a cursor"
    )
    expect(row(page, "webhooks")).to_contain_text("Paused 4 h ago")
    expect(row(page, "webhooks").get_by_role("switch")).to_be_checked()
    types = page.get_by_role("region", name="Job types")
    assert types.get_by_role("switch").count() == 4
    expect(types.get_by_role("switch", name="Pause count_words")).not_to_be_checked()
    old = types.locator("tr[data-key=old]")
    expect(old).to_contain_text("312 waiting under the pause")
    resumed = answer(page, "/paused/job_type/old", "", 204)
    old.get_by_role("switch", name="Pause old").click()
    expect(page.get_by_role("status")).to_contain_text("old is resumed")
    expect(old.locator(".do")).to_have_text("paused")
    in_queue = page.locator("tr[data-key='default#old']")
    in_queue.get_by_role("button", name="Resume old").click()
    expect(in_queue.get_by_role("button")).to_be_enabled()
    assert [each.method for each in resumed] == ["DELETE", "DELETE"]


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
        "max_waiting": "(none, or 10,000 with slots or a rate)",
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
