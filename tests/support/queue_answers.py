"""Answers of the API about queues, for tests of their page."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from faked_answers import answer

NOW = "2026-11-24T13:00:00Z"
SINCE = "2026-11-24T12:56:00Z"
PAUSED = {
    "kind": "queue", "name": "webhooks", "paused_at": "2026-11-24T09:10:00.000Z",
    "paused_by": "service:ada", "waiting": 312, "more_waiting": False,
    "oldest_waiting_since": "2026-11-24T10:00:00Z", "oldest_queued_at": "2026-11-24T10:00:00Z",
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
        "key": name, "oldest_waiting_id": None, "slots_in_use": len(held), "holders": held, **none,
        "next_start_at": None,
        "last_started_at": SINCE if holders else None,
        **changes,
    }  # fmt: skip


FIRST = {"oldest_waiting_id": "e" * 32}


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
        key("*", "a" * 32, "b" * 32, waiting=12, oldest_waiting_since=SINCE, **FIRST),
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
        "last_started_at": started,
    }
    for job_type, running, waiting, since, started in (
        ("count_words", 0, 900, SINCE, "2026-11-24T12:50:00Z"),
        ("old", 0, 40, "2026-11-24T12:57:00Z", None), ("quick", 3, 0, None, NOW),
    )
]  # fmt: skip


def job_type(name: str, queue_name: str = "default", worker: str | None = None) -> dict[str, Any]:
    return {"name": name, "queue_name": queue_name, "queues": [queue_name], "worker": worker}


TYPES = [job_type("count_words"), job_type("quick"), job_type("import_file", "imports")]
OLD = {**PAUSED, "kind": "job_type", "name": "old"}


def queues_page(page: Page, dashboard: str, **answers: Any) -> None:
    """Open the page of queues, with faked answers and a clock that stands still."""
    page.clock.install(time=NOW)
    page.clock.set_fixed_time(NOW)
    answer(page, "/queues", {"queues": QUEUES, "cursor": None})
    answer(page, "/backlog", backlog(**answers))
    answer(page, "/paused", {"paused": answers.get("paused", [PAUSED, OLD])})
    answer(page, "/job-types", {"jobs": answers.get("types", TYPES), "tasks": []})
    answer(page, "/error-groups", {"error_groups": answers.get("failures", []), "complete": True})
    page.goto(f"{dashboard}#/queues")
    expect(row(page, "webhooks")).to_be_visible()


def backlog(jobs: Any = BACKLOG, *, more: bool = True, **_: Any) -> dict[str, Any]:
    return {"jobs": jobs, "more": more}


def row(page: Page, name: str) -> Locator:
    named = page.locator("td.what").get_by_text(name, exact=True)
    return page.get_by_role("row").filter(has=named).first  # a job type has a row of its own later
