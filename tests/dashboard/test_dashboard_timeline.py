"""A job's timeline in a browser: a table that people with a keyboard, a screen reader or a phone
can use, also of jobs with a long life or a thousand steps."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from faked_answers import JOB, answer
from job_answers import ACTS, DAYS, RECORDS, at, invocation, record

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.usefixtures("complaints")]

PATH = f"/jobs/{JOB['id']}"


def show(
    page: Page,
    dashboard: str,
    records: list[Any],
    acts: Any = ACTS,
    again: Any = "1",
    **fields: Any,
) -> Locator:
    """Open the page of a job with this timeline, and return the table. The page reads the job again
    after that many seconds."""
    answer(page, PATH, {**JOB, **fields}, Retry_After=again)
    timeline = {"records": records, "acts": acts, "gaps": [], "complete": True}
    answer(page, f"{PATH}/timeline", timeline)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    table = page.get_by_role("table", name="What the job did")
    expect(table.get_by_role("row").nth(1)).to_be_visible()
    return table


def cells(table: Locator, name: str | re.Pattern[str]) -> list[str]:
    """Return the cells of the row with this header, after its start."""
    found: list[str] = row_of(table, name).get_by_role("cell").all_inner_texts()
    return found[1:]


def row_of(table: Locator, name: str | re.Pattern[str]) -> Locator:
    """Return the row with this header."""
    header = table.page.get_by_role("rowheader", name=name)
    return table.get_by_role("row").filter(has=header).first


def test_a_long_life_is_a_table_in_words(page: Page, dashboard: str) -> None:
    running = {"status": "running", "error": None, "finished_at": None}
    table = show(page, dashboard, RECORDS, **running)
    assert cells(table, re.compile("Attempt 1")) == [
        "5.0 s",
        "failed: ConnectionError in step charge",
    ]
    assert cells(table, "Dispatched by operator:bob")[:1] == [""]
    assert cells(table, re.compile("Attempt 2"))[1] == "not over"
    assert cells(table, re.compile("After step charge"))[1] == "running"
    assert table.get_by_role("rowheader", name="fetch").count() == 0  # of a closed attempt
    table.get_by_role("button", name="Attempt 1").click()
    assert cells(table, "Invocation 1") == ["4.0 s", "waits for a signal, after 0.4 s in queue"]
    assert cells(table, "step fetch") == ["1.2 s", "done"]
    assert cells(table, re.compile("step print … ×998")) == ["2.5 s", "done"]
    assert cells(table, "signal approval") == ["2 d 23 h", "answered by operator:ada"]
    table.get_by_role("button", name="Attempt 1").click()
    expect(table.get_by_role("rowheader", name="step fetch")).to_have_count(0)


def test_a_bar_has_the_width_of_its_time_and_waits_have_none(page: Page, dashboard: str) -> None:
    table = show(page, dashboard, RECORDS)
    table.get_by_role("button", name="Attempt 1").click()

    def bar(name: str) -> Any:
        return (
            row_of(table, name)
            .locator("rect")
            .evaluate("(each) => [+each.getAttribute('x'), each.width.baseVal.value]")
        )

    assert bar("Invocation 1") == [0, 800]
    assert bar("Invocation 2") == [800, 200]
    assert bar("step fetch") == [0, pytest.approx(240, abs=1)]
    expect(row_of(table, "signal approval").locator("svg")).to_have_count(0)


def test_it_is_used_with_the_keyboard(page: Page, dashboard: str) -> None:
    table = show(page, dashboard, RECORDS)
    button = table.get_by_role("button", name="Attempt 1")
    expect(button).to_have_attribute("aria-expanded", "false")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(button).to_be_focused()
    page.keyboard.press("Tab")
    expect(table.get_by_role("button", name="Show all")).to_be_focused()
    page.keyboard.press("Enter")
    expect(table.get_by_role("rowheader", name="step print 0", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(table.get_by_role("button", name="Attempt 2")).to_be_focused()
    page.keyboard.press("Tab")
    more = page.get_by_role("button", name=re.compile("Show all .* more"))
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    expect(more).to_have_count(0)
    expect(table.locator("th:focus")).to_have_text("step print 197")
    assert table.locator("svg").count() == table.locator("[aria-hidden=true] svg").count()


def test_it_is_readable_on_a_phone(page: Page, dashboard: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    table = show(page, dashboard, RECORDS)
    table.get_by_role("button", name="Attempt 1").click()
    assert cells(table, "signal approval") == ["2 d 23 h", "answered by operator:ada"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_thousand_steps_are_folded_and_shown_without_a_stall(page: Page, dashboard: str) -> None:
    table = show(page, dashboard, RECORDS)
    table.get_by_role("button", name="Attempt 1").click()
    rows = table.get_by_role("row")
    assert rows.count() < 20
    table.get_by_role("button", name="Show all").click()
    expect(table.get_by_role("rowheader", name="step print 17", exact=True)).to_be_visible()
    assert rows.count() <= 210
    took = page.evaluate(
        """() => {
          const began = performance.now();
          document.querySelector("[data-do=open][data-kind=all]").click();
          document.body.offsetHeight;
          return performance.now() - began;
        }"""
    )
    expect(table.get_by_role("rowheader", name="step print 997", exact=True)).to_be_attached()
    assert took < 1500  # milliseconds, on a busy machine


def test_it_is_read_again_only_after_a_change_and_not_more_often_than_it_may(
    page: Page, dashboard: str
) -> None:
    waiting = {"status": "waiting", "error": None, "finished_at": None}
    answer(page, PATH, {**JOB, **waiting}, Retry_After="1")
    asked = answer(
        page, f"{PATH}/timeline", {"records": [], "acts": [], "gaps": [], "complete": True}
    )
    jobs = answer(page, PATH, {**JOB, **waiting}, Retry_After="1")
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    while len(jobs) < 6:
        page.wait_for_timeout(200)
    assert len(asked) <= 1


def test_a_timeline_grows_while_the_job_runs(page: Page, dashboard: str) -> None:
    page.clock.install(time="2026-11-24T12:00:10Z")
    running = {"status": "running", "error": None, "finished_at": None}
    table = show(page, dashboard, [invocation(1, 1, 2, None)], **running)
    row = row_of(table, "Invocation 1")
    expect(row).to_contain_text(re.compile(r"\d s so far"))
    page.clock.run_for(120_000)
    expect(row).to_contain_text("2 min")


@pytest.mark.parametrize(
    ("records", "buttons"),
    [(RECORDS, ["Attempt 1", "Show all", "more)"]), (RECORDS[-3:], [])],
)
def test_a_timeline_of_a_thousand_rows_is_not_drawn_every_second(
    page: Page, dashboard: str, records: list[Any], buttons: list[str]
) -> None:
    page.clock.install(time=at(DAYS + 60))
    running = {"status": "running", "error": None, "finished_at": None}
    table = show(page, dashboard, records, again="3600", **running)
    for each in buttons:
        page.get_by_role("button", name=each).click(timeout=9000)
    page.wait_for_load_state("networkidle")
    table.evaluate(
        """(table) => {
          window.changes = 0;
          const all = { childList: true, characterData: true, attributes: true, subtree: true };
          new MutationObserver((found) => { window.changes += found.length; }).observe(table, all);
        }"""
    )
    page.clock.run_for(30_000)
    assert (page.evaluate("window.changes") == 0) is (len(records) > 1000)


PAUSED = {"kind": "queue", "name": "imports", "key": None}
LINE = {"kind": "line", "name": "imports", "key": "acme"}
GROUP = {"kind": "group", "name": "print", "key": None}
SLEEP = {"kind": "time", "name": "cool down", "key": None}
SIGNAL = {"kind": "signal", "name": "ok", "key": None, "names": ["ok"], "until": at(90_000)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "scheduled", "run_at": "2999-01-01T00:00:00Z"}, "Scheduled"),
        ({"status": "queued"}, "Waiting for a worker"),
        ({"status": "queued", "invocations": 2}, "Waiting for its next invocation"),
        ({"status": "waiting", "waiting_since": at(0)}, "Type or queue is paused"),
        ({"status": "waiting", "waits_for": PAUSED}, "Queue is paused"),
        ({"status": "waiting", "waits_for": LINE}, "Waiting for capacity in queue imports"),
        ({"status": "waiting", "waits_for": SIGNAL}, "Waiting for signal ok"),
        ({"status": "waiting", "waits_for": GROUP}, "Waiting for its group print"),
        ({"status": "scheduled", "waits_for": SLEEP}, "Sleeping"),
        ({"status": "retryable", "attempt": 2}, "Waiting for its next attempt"),
    ],
)
def test_every_wait_has_its_own_words(
    page: Page, dashboard: str, fields: dict[str, Any], words: str
) -> None:
    fresh = {"attempt": 1, "invocations": 0, "run_at": None, "finished_at": None, "error": None}
    table = show(page, dashboard, [], [], **fresh | fields)
    assert cells(table, words)[0].endswith("so far")
    assert "NaN" not in page.locator("main").inner_text()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("sleep", {"status": "scheduled", "waits_for": SLEEP}),
        ("signal", {"status": "waiting", "waits_for": SIGNAL}),
        ("group", {"status": "waiting", "waits_for": GROUP}),
    ],
)
def test_a_wait_that_has_a_record_is_told_once(
    page: Page, dashboard: str, kind: str, fields: dict[str, Any]
) -> None:
    records = [invocation(1, 1, 2, 6, outcome="waited"), record(kind, "x", 1, 6, None)]
    table = show(page, dashboard, records, error=None, finished_at=None, **fields)
    headers = table.get_by_role("rowheader")
    expect(headers).to_have_text(
        ["Dispatched by operator:bob", "Attempt 1", "Invocation 1", f"{kind} x"]
    )
    assert cells(table, f"{kind} x")[1] == "open"


def test_viewers_see_kinds_and_times(page: Page, dashboard: str) -> None:
    table = show(page, dashboard, [{**each, "name": None} for each in RECORDS])
    table.get_by_role("button", name="Attempt 1").click()
    assert cells(table, re.compile("step … ×999"))[1] == "done"
    assert cells(table, "signal")[0] == "2 d 23 h"


def test_manual_retries_and_gaps_are_told(page: Page, dashboard: str) -> None:
    records = [
        invocation(1, 1, 2, 6, outcome="failed", error="Broken"),
        invocation(3, 1, 20, 22, outcome="succeeded", run=2),
    ]
    acts = [*ACTS, {"at": at(12), "what": "retried", "by": "operator:ada"}]
    answer(page, PATH, {**JOB, "status": "succeeded", "error": None})
    timeline = {"records": records, "acts": acts, "gaps": [2], "complete": False}
    answer(page, f"{PATH}/timeline", timeline)
    page.goto(f"{dashboard}#/job/{JOB['id']}")
    table = page.get_by_role("table", name="What the job did")
    expect(table.get_by_role("rowheader")).to_have_text(
        [
            *("Dispatched by operator:bob", "Attempt 1", "Invocation 1"),
            *("Retried by operator:ada", "Held by a pause or another job"),
            *("Attempt 1, manual retry 1", "Invocation 3"),
        ]
    )
    expect(
        page.get_by_text("Not recorded, because AWS refused a write: 1 invocation.")
    ).to_be_visible()
    expect(page.get_by_text("The job has more records than are shown.")).to_be_visible()


def test_log_lines_stand_under_the_invocation_of_the_timeline(page: Page, dashboard: str) -> None:
    records = [
        invocation(1, 1, 2, 6, outcome="failed"),
        invocation(2, 2, 8, 10, outcome="failed"),
        invocation(3, 1, 20, 22, outcome="succeeded", run=2),
    ]
    # Each run's attempts and invocations count from 1 in the log.
    lines: list[dict[str, Any]] = [
        {"time": at(when), "level": "INFO", "message": "x", "exception": None, "more": {}}
        | {"attempt": number, "invocation": number}
        for number, when in ((1, 2.1), (2, 10.1), (1, 20.1))
    ]
    show(page, dashboard, records)
    answer(page, f"{PATH}/logs", {"lines": lines, "complete": True})
    page.get_by_role("button", name="Show lines").click()
    expect(page.get_by_role("group", name="3 log lines").locator(".invocation")).to_have_text(
        [
            "Attempt 1, invocation 1",
            "Attempt 2, invocation 2",
            "Attempt 1, manual retry 1, invocation 3",
        ]
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"concurrency_key": "*"}, "In line or held by a pause"),
        ({"concurrency_key": None}, "Held by a pause or another job"),
        ({"run_at": at(5400.0)}, "Scheduled"),
    ],
)
def test_the_time_before_a_first_invocation_is_a_wait(
    page: Page, dashboard: str, fields: dict[str, Any], words: str
) -> None:
    table = show(page, dashboard, [invocation(1, 1, 5400.4, None)], status="running", **fields)
    assert cells(table, words) == ["1 h 30 min", ""]


def test_a_hold_between_invocations_is_a_wait(page: Page, dashboard: str) -> None:
    records = [
        invocation(1, 1, 1, 2, outcome="paused"),
        invocation(2, 1, 62.4, 63, outcome="yielded"),
        invocation(3, 1, 93.4, 94, outcome="continued"),
        invocation(4, 1, 104.4, 105, outcome="succeeded"),
    ]
    table = show(page, dashboard, records, status="succeeded", error=None)
    assert cells(table, "Held by a pause") == ["1 min", ""]
    assert cells(table, "In line") == ["30 s", ""]
    assert table.locator("tr.wait").count() == 2
