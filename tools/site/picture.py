"""Take the docs' picture of the dashboard: python -m tools.site.picture [FILE].

The page gets fixed answers at a fixed time, so it needs no AWS. It needs Chromium.
"""

import random
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Route, sync_playwright

from job_runners.dashboard import files
from job_runners.places import CODE

PICTURE = CODE / "docs" / "pictures" / "dashboard.png"
_NOW = datetime(2026, 11, 24, 13, tzinfo=UTC)
_TYPES = {
    "count_letters": ("default", "1,200 words counted"),
    "import_orders": ("imports", "812 orders imported"),
    "send_invoices": ("mail", "300 invoices sent"),
}
_ERROR = {"kind": "ValueError", "message": "The file uploads/acme/june.csv has no column 'total'"}
# The newest jobs, before others that succeeded or failed: type, status and changes.
_NEWEST: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("count_letters", "succeeded", {"result_message": "64 words counted"}),
    ("send_invoices", "waiting", {"waits_for": {"kind": "line", "name": "mail", "key": "*"}}),
    ("send_invoices", "running", {"progress": 60, "result_message": "180 of 300 invoices sent"}),
    ("count_letters", "scheduled", {"run_at": "2026-11-24T15:00:00.000Z"}),
    ("import_orders", "succeeded", {"result_message": "812 orders imported"}),
    ("import_orders", "failed", {"progress": 60, "error": _ERROR}),
)


def take(file: Path) -> None:
    """Write the picture into a file."""
    with sync_playwright() as playwright:
        installed = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        browser = playwright.chromium.launch(
            executable_path=installed,
            # Without partial repaints, which leave some pixels of a corner to chance.
            args=["--headless", "--no-sandbox", "--disable-partial-raster"],
        )
        page = browser.new_page(
            viewport={"width": 1240, "height": 760}, locale="en-US", timezone_id="UTC"
        )
        page.clock.set_fixed_time(_NOW)
        page.route("**/*", _answer)
        page.goto("http://dashboard.example/#/?org=acme")
        page.get_by_text("Counted: all").wait_for()
        page.get_by_text("live", exact=True).wait_for()
        page.screenshot(path=file, animations="disabled")
        browser.close()


def _answer(route: Route) -> None:
    path = urlsplit(route.request.url).path
    asset = files.page() if path == "/" else files.find(path.rpartition("/")[2])
    if path == "/jobs":
        route.fulfill(json={"jobs": list(_jobs()), "cursor": None})
    elif asset:
        route.fulfill(body=asset.body, content_type=asset.content_type)
    else:
        route.fulfill(status=404, json={})  # the list of jobs shows nothing else


def _jobs() -> Iterator[dict[str, Any]]:
    chance = random.Random(4)  # noqa: S311 - the picture must be the same each time
    at = _NOW
    for number in range(53):
        at -= timedelta(seconds=chance.uniform(15, 170))
        name, status = chance.choice(list(_TYPES)), "succeeded"
        changes: dict[str, Any] = {}
        if number < len(_NEWEST):
            name, status, changes = _NEWEST[number]
        elif chance.random() < 0.2:
            name, status, changes = "import_orders", "failed", {"progress": 60, "error": _ERROR}
        yield _job(name, status, at, chance) | changes


def _job(name: str, status: str, at: datetime, chance: random.Random) -> dict[str, Any]:
    queue_name, message = _TYPES[name]
    started = at + timedelta(milliseconds=chance.lognormvariate(3.5, 0.4))
    finished = started + timedelta(seconds=chance.lognormvariate(1.2, 0.8))
    has_begun, has_ended = status not in ("waiting", "scheduled"), status in ("succeeded", "failed")
    return {
        "id": f"{chance.getrandbits(128):032x}",
        "job_type": name,
        "status": status,
        "queue_name": queue_name,
        "progress": 100 if status == "succeeded" else 0,
        "result_message": message if status == "succeeded" else None,
        "attempt": 1,
        "invocations": int(has_begun),
        "created_at": at.isoformat(),
        "started_at": started.isoformat() if has_begun else None,
        "finished_at": finished.isoformat() if has_ended else None,
    }


if __name__ == "__main__":
    take(Path(sys.argv[1]) if sys.argv[1:] else PICTURE)
