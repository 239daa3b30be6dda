"""What the pages of jobs say of jobs that wait for too long, in a browser."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints
from faked_answers import JOB, answer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

NOW = "2026-11-24T13:00:00Z"
ELEVEN, HALF_PAST = "2026-11-24T11:00:00Z", "2026-11-24T12:30:00Z"
LATEST = "2026-11-24T12:50:00Z"
LIMITS = {"slots": 1, "rate": None, "max_waiting": 100, "words": "1 slot"}
KEY = {
    "key": "*", "waiting": 12, "more_waiting": False, "oldest_waiting_since": HALF_PAST,
    "oldest_waiting_id": "e" * 32, "slots_in_use": 1, "last_started_at": LATEST,
    "next_start_at": None, "holders": [{"job_id": "f" * 32, "since": LATEST}],
}  # fmt: skip
PAUSE = {
    "kind": "job_type", "name": "build", "paused_at": LATEST, "paused_by": "service:ada",
    "waiting": 7, "more_waiting": False, "oldest_waiting_since": LATEST,
    "oldest_queued_at": HALF_PAST,
}  # fmt: skip


def queue(name: str, *keys: Any) -> dict[str, Any]:
    none = {"changed_at": None, "changed_by": None, "paused": None, "keys_cursor": None}
    limits = LIMITS if keys else None
    return {"name": name, "limits": limits, "declared_limits": None, "keys": keys, **none}


def counted(name: str, job_type: str, waiting: int, since: str) -> dict[str, Any]:
    return {
        "queue_name": name, "job_type": job_type, "running": 0, "waiting": waiting,
        "oldest_waiting_since": since, "oldest_waiting_id": "d" * 32, "last_started_at": ELEVEN,
    }  # fmt: skip


BACKLOG = [counted("mailings", "send", 900, ELEVEN), counted("reports", "build", 3, HALF_PAST)]
QUEUES = [queue("imports", KEY), queue("mailings"), queue("reports")]
TYPES = [
    {"name": name, "queue_name": queue_name, "queues": [queue_name], "worker": None}
    for name, queue_name in (("send", "mailings"), ("build", "reports"), ("load", "imports"))
]


def world(page: Page, backlog: Any = BACKLOG, queues: Any = QUEUES, paused: Any = (PAUSE,)) -> None:
    """Answer what explains waits."""
    page.clock.install(time=NOW)
    answer(page, "/queues", {"queues": queues, "cursor": None})
    for each in queues:
        answer(page, f"/queues/{each['name']}", each)
    answer(page, "/backlog", {"jobs": backlog, "more": False})
    answer(page, "/paused", {"paused": list(paused)})
    answer(page, "/job-types", {"jobs": TYPES, "tasks": []})
    answer(page, "/error-groups", {"failures": [], "complete": True})


def opened(page: Page, dashboard: str, **fields: Any) -> None:
    """Open the page of a job that hasn't begun."""
    fresh = {"status": "queued", "error": None, "finished_at": None, "invocations": 0}
    answer(page, f"/jobs/{JOB['id']}", {**JOB, **fresh, **fields})
    page.goto(f"{dashboard}#/job/{JOB['id']}")


def test_the_page_of_jobs_names_each_late_queue_with_its_reason(page: Page, dashboard: str) -> None:
    world(page)
    answer(page, "/jobs", {"jobs": [], "cursor": None})
    page.goto(f"{dashboard}#/")
    note = page.get_by_role("note")
    expect(note.get_by_role("listitem")).to_have_text(
        [
            "mailings: 900 queued, the oldest for 2 h, the last start 2 h ago. No worker starts "
            "them: none for 2 h. ",
            "imports: 12 waiting in line, the oldest for 30 min, the last start 10 min ago. All "
            "slots are busy. ",
            "reports: 7 waiting under the pause, 3 more queued (held at their next check), the "
            "oldest for 30 min, the last start 2 h ago. build paused 10 min ago by service:ada. ",
        ]
    )
    link = note.get_by_role("link", name="mailings")
    expect(link).to_have_attribute("href", "#/queues/mailings")


def test_the_page_of_jobs_names_a_queue_with_limits_whose_jobs_no_worker_has_met(
    page: Page, dashboard: str
) -> None:
    idle: dict[str, Any] = {
        "waiting": 0,
        "oldest_waiting_since": None,
        "slots_in_use": 0,
        "holders": [],
    }
    world(page, [counted("imports", "load", 3, ELEVEN)], [queue("imports", {**KEY, **idle})])
    answer(page, "/jobs", {"jobs": [], "cursor": None})
    page.goto(f"{dashboard}#/")
    said = "imports: 3 queued, the oldest for 2 h, the last start 10 min ago. No worker starts them"
    expect(page.get_by_role("note").get_by_role("listitem")).to_contain_text(said)


def test_the_page_of_jobs_names_at_most_five_queues_and_none_that_is_prompt(
    page: Page, dashboard: str
) -> None:
    names = [f"queue-{number}" for number in range(7)]
    jobs = [counted(name, "send", 2, ELEVEN) for name in names]
    world(page, jobs, [queue(name) for name in names], [])
    answer(page, "/jobs", {"jobs": [], "cursor": None})
    page.goto(f"{dashboard}#/")
    note = page.get_by_role("note")
    expect(note.get_by_role("listitem")).to_have_count(6)
    rest = note.get_by_role("link", name="2 more queues")
    expect(rest).to_have_attribute("href", "#/queues")
    answer(page, "/backlog", {"jobs": [counted("queue-1", "send", 2, NOW)], "more": False})
    fast = {**KEY, "oldest_waiting_since": LATEST.replace("50:00", "52:00")}
    answer(page, "/queues", {"queues": [queue("imports", fast)], "cursor": None})
    page.clock.run_for(16_000)
    expect(note).to_have_count(0)


def test_the_page_of_jobs_goes_on_without_the_queues(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("403")
    world(page)
    asked = answer(page, "/queues", {"detail": "not yours"}, 403)
    answer(page, "/jobs", {"jobs": [JOB], "cursor": None})
    page.goto(f"{dashboard}#/")
    expect(page.get_by_role("link", name="count_words")).to_be_visible()
    for _ in range(160):
        page.clock.run_for(500)
        if len(asked) == 2:
            break
    assert len(asked) == 2
    expect(page.locator(".live")).to_have_text("live")


@pytest.mark.parametrize(
    ("since", "words", "href"),
    [
        (
            ELEVEN,
            "Show those of mailings from over 1 hour ago",
            "#/?status=queued&queue=mailings&time=-1h",
        ),
        (HALF_PAST, "Show the oldest of mailings", f"#/job/{'d' * 32}"),
    ],
)
def test_a_status_is_looked_for_in_five_pages_and_then_linked(
    page: Page, dashboard: str, since: str, words: str, href: str
) -> None:
    world(page, [counted("mailings", "send", 900, since)], QUEUES[1:], [])
    asked = answer(page, "/jobs", {"jobs": [], "cursor": "further"})
    page.goto(f"{dashboard}#/?status=queued")
    expect(page.locator(".empty")).to_have_text(f"None of the newest 1,000 jobs matches. {words}")
    expect(page.get_by_role("link", name=words)).to_have_attribute("href", href)
    lists = [each for each in asked if "status=queued" in each.url]
    assert ["cursor=further" in each.url for each in lists] == [False] + [True] * 4
    page.clock.run_for(16_000)
    assert len([each for each in asked if "status=queued" in each.url]) == 5  # not again so soon


def test_a_queued_job_says_the_reason_of_its_queue(page: Page, dashboard: str) -> None:
    world(page)
    opened(page, dashboard, job_type="send", queue_name="mailings")
    reasons = page.locator("div.waits")
    expect(reasons).to_contain_text("Queued in mailings, where the oldest job has waited for 2 h.")
    expect(reasons).to_contain_text("No worker starts them: none for 2 h")
    link = reasons.get_by_role("link", name="mailings")
    expect(link).to_have_attribute("href", "#/queues/mailings")


def test_a_job_in_line_says_when_its_line_goes_on(page: Page, dashboard: str) -> None:
    world(page)
    line = {"kind": "line", "name": "imports", "key": "*"}
    opened(page, dashboard, status="waiting", queue_name="imports", waits_for=line)
    answer(page, f"/jobs/{JOB['id']}/place", {"waits_for": line, "ahead": 3, "more_ahead": False})
    page.reload()
    expect(page.locator("div.waits")).to_contain_text(
        "All slots are busyThe next one starts when the one that runs ends. It has run for 10 min"
    )


def test_a_batch_says_that_the_type_of_its_members_is_paused(page: Page, dashboard: str) -> None:
    world(page, paused=[PAUSE, {**PAUSE, "name": "send"}])
    member = {**JOB, "id": "c" * 32, "job_type": "build", "status": "queued", "error": None}
    opened(page, dashboard, job_type="batch", status="waiting", queue_name="batches")
    child = {"key": "1", "group": "members", "id": "c" * 32, "job": member}
    answer(page, f"/jobs/{JOB['id']}/children", {"children": [child], "cursor": None})
    page.reload()
    expect(page.locator("div.waits")).to_have_text(
        "Members that haven't started wait:build paused 10 min ago by service:ada"
    )


def test_times_of_few_among_many_jobs_are_not_shown(page: Page, dashboard: str) -> None:
    world(page, [], [], [])
    ran = {**JOB, "attempt": 1, "invocations": 1, "status": "succeeded", "error": None}
    queued = {**ran, "status": "queued", "started_at": None, "invocations": 0}
    answer(page, "/jobs", {"jobs": [ran] * 2 + [queued] * 10, "cursor": None})
    page.goto(f"{dashboard}#/")
    numbers = page.get_by_label("Recent numbers")
    expect(numbers.get_by_text("Wait before the start, 2 jobs")).to_be_visible()
    answer(page, "/jobs", {"jobs": [ran] * 2 + [queued] * 30, "cursor": None})
    page.reload()
    expect(numbers.get_by_text("unfinished")).to_be_visible()
    expect(numbers.get_by_text("Wait before the start")).to_have_count(0)


def test_the_page_says_once_in_which_zone_its_times_are(page: Page, dashboard: str) -> None:
    world(page)
    opened(page, dashboard, status="failed")
    expect(page.locator("footer")).to_have_text("Times are in Europe/Berlin.")
    expect(page.locator("dl.facts")).not_to_contain_text("GMT")
