"""The timeline of a job that was killed twice, slept, waited for a person, fanned out and was
retried by a person: the API, the command and the page show the same."""

import os
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dashboard_pages import findings
from supervised import Run

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.xdist_group("supervised")),
    pytest.mark.usefixtures("complaints"),
]

INVOCATIONS = [
    (1, 1, 1, "lost"),
    (1, 2, 2, "lost"),
    (1, 3, 3, "slept"),
    (1, 4, 3, "waited"),
    (1, 5, 3, "gathered"),
    (1, 6, 3, "failed"),
    (2, 7, 1, "succeeded"),
]


@pytest.fixture(scope="module")
def lived(supervised: Run) -> str:
    """Return a job that has had such a life."""
    job_id = supervised.dispatch("long_life")
    supervised.reach(job_id, "waiting")
    supervised.command("signal", job_id, "approval", "true")
    failed = supervised.reach(job_id, "failed", "succeeded")
    assert failed["error"]["kind"] == "DoNotRetry", failed["error"]
    supervised.command("retry", job_id)
    assert supervised.reach(job_id, "succeeded")["result"] == "delivered"
    return job_id


def test_the_api_tells_it_right(supervised: Run, lived: str) -> None:
    found = supervised.api.get(f"/jobs/{lived}/timeline").json
    invocations = [each for each in found["records"] if each["kind"] == "invocation"]
    names = ("run", "claim", "attempt", "outcome")
    assert [tuple(each[name] for name in names) for each in invocations] == INVOCATIONS
    assert [each["what"] for each in found["acts"]] == ["dispatched", "retried"]
    others = {each["name"]: each for each in found["records"] if each["kind"] != "invocation"}
    assert {name: (each["kind"], each["outcome"]) for name, each in others.items()} == {
        "charge": ("step", "done"),
        "cool down": ("sleep", "done"),
        "approval": ("signal", "answered"),
        "export": ("child", "succeeded"),
        "print": ("group", "done"),
        "deliver": ("step", "done"),
    }
    assert (invocations[5]["error"], invocations[5]["name"]) == ("DoNotRetry", "deliver")
    assert (found["gaps"], found["complete"]) == ([], True)


def test_the_command_tells_it_right(supervised: Run, lived: str) -> None:
    shown = supervised.command("show", lived).stdout.partition("timeline\n")[2].splitlines()
    told = [line.split("\t")[2:] for line in shown if line.count("\t") == 3]
    invocations = [what for what, _ in told if what.startswith("invocation")]
    assert invocations == [f"invocation {claim} (attempt {n})" for _, claim, n, _ in INVOCATIONS]
    words = dict(told)
    assert words["invocation 1 (attempt 1)"].startswith("its worker was killed: Interrupted")
    assert "attempt failed: DoNotRetry in step deliver" in words["invocation 6 (attempt 3)"]
    assert words["signal approval"].startswith("answered by service")
    assert words["group print"] == "done"


def test_the_page_tells_it_right(supervised: Run, lived: str, page: Page) -> None:
    (address,) = re.findall(r"Dashboard +(http://127\.0\.0\.1:\S+)", supervised.shown)[:1]
    page.goto(f"{address.rstrip('/')}/#/job/{lived}")
    table = page.get_by_role("table", name="What the job did")
    expect(table.get_by_role("rowheader")).to_have_text(
        [
            re.compile("^Dispatched"),
            *("Attempt 1", "Invocation 1", "step charge", "Attempt 2", "Invocation 2"),
            *("Attempt 3", "Invocation 3", "sleep cool down", "Invocation 4", "signal approval"),
            *("Invocation 5", "child export", "group print", "Invocation 6"),
            re.compile("^Retried by service"),
            *("Attempt 1, manual retry 1", "Invocation 7", "step deliver"),
        ]
    )
    row: Any = table.get_by_role("row").filter(has_text="Attempt 3")
    expect(row).to_contain_text("failed: DoNotRetry in step deliver")
    assert findings(page) == []
    if folder := os.environ.get("SCREENSHOTS"):
        page.set_viewport_size({"width": 1200, "height": 1100})
        page.screenshot(path=f"{folder}/timeline.png")
        page.set_viewport_size({"width": 390, "height": 1100})
        page.screenshot(path=f"{folder}/timeline_phone.png", full_page=True)
