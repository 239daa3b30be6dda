"""The jobs of the pages about fan-out, queues, schedules and unique work, run."""

import re
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

import sample_work
from api_events import call
from api_server import ApiServer
from job_runners import Client, clock
from job_runners.client import stack_outputs
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import recurring
from job_runners.places import ROOT
from job_runners.runners import sender
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded
from job_runners.work import DoNotRetry, Job, RunningJob
from jobs_command import FakeApi, jobs
from shown_code import blocks, module
from shown_requests import answer_requests
from stale_reads import catch_up


def snippets(name: str) -> list[str]:
    return blocks((ROOT / "docs/build" / f"{name}.md").read_text())


# --- fan_out.md -----------------------------------------------------------------------------------


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InlineRunner]:
    """Return a runner of the page's job that gathers, and of another that waits for repairs."""
    (tmp_path / "counting.py").write_text(snippets("fan_out")[0] + REPAIRED)
    monkeypatch.syspath_prepend(str(tmp_path))
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "counting"}) as job_runner:
        yield job_runner
    del sys.modules["counting"]


# As the page says: time for repairs, in a loop.
REPAIRED = """

def count_repaired(job: RunningJob, payload: Texts) -> dict[str, int]:
    members = (Member("count", {"text": text}) for text in payload.texts)
    results = job.gather("counts", members)
    number = 0
    while any(each.status != "succeeded" for each in results):
        number += 1
        job.wait_for(f"retried-{number}", timeout=7 * 24 * 3600)
    return {"words": sum(each.value for each in results)}


JOBS["count_repaired"] = Job(count_repaired)
"""


def test_a_failed_member_is_retried_and_its_group_is_reported_once(counting: InlineRunner) -> None:
    saved = SavedJobs()
    job = counting.run("count_all", {"texts": ["one two", ""]})
    assert_failed(job, DoNotRetry)
    assert saved.all("report") == []
    counting.retry(saved.only("count", status="failed"), {"text": "three"})
    counting.drain()
    counting.retry(job)
    counting.drain()
    assert assert_succeeded(saved.get(job.id)) == {"words": 3}
    saved.only("report", payload={"words": 3})
    assert len(saved.all("count")) == 2


def test_a_job_waits_until_its_failed_member_is_repaired(counting: InlineRunner) -> None:
    saved = SavedJobs()
    job = counting.dispatch("count_repaired", {"texts": ["one two", ""]})
    counting.run_due()
    counting.signal(job, "retried-1")  # too early
    counting.run_due()
    assert saved.get(job.id).status == "waiting"
    counting.retry(saved.only("count", status="failed"), {"text": "three"})
    counting.run_due()
    counting.signal(job, "retried-2")
    counting.drain()
    assert assert_succeeded(saved.get(job.id)) == {"words": 3}


def test_more_members_than_messages_may_run_otherwise(
    counting: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from job_runners.testing import held_runner

    monkeypatch.setattr(held_runner, "_MAX_MESSAGES", 10)
    job = counting.run("count_all", {"texts": ["one"] * 12})
    assert assert_succeeded(job) == {"words": 12}


# --- queues.md ------------------------------------------------------------------------------------


def test_the_job_of_the_page_about_queues_goes_on_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    declared, mail, *_ = snippets("queues")
    monkeypatch.setitem(sys.modules, "acme", module("acme", declared, monkeypatch))
    module("acme.mail", mail, monkeypatch)
    with inline_runner(environment={"JOBS_PACKAGES": "acme"}) as job_runner:
        registry().resolve_all()
        mailing = {"addresses": [f"{number}@example.com" for number in range(250)]}
        row = JobRequest.get(job_runner.run("mail_list", mailing).id)
        assert (row.status, row.invocations, row.attempt) == (Status.SUCCEEDED, 3, 1)
        waited = (row.finished_at or 0) - row.created_at
        assert waited > 4000  # two more turns, at one in 2 s


def test_the_requests_about_limits_are_answered_as_the_page_says() -> None:
    page = (ROOT / "docs/build/queues.md").read_text()
    with inline_runner(environment={"JOBS_PACKAGES": "sample_work"}):
        assert answer_requests(page) == 4


EVENTS = "CREATE TABLE events (number INTEGER PRIMARY KEY, customer TEXT, event TEXT)"


def test_events_are_applied_in_order_by_one_job_for_each_customer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = module("shown", snippets("queues")[2], monkeypatch)
    monkeypatch.chdir(tmp_path)
    applied: list[str] = []

    with (
        closing(sqlite3.connect("shop.db")) as database,
        inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner,
    ):
        database.execute(EVENTS)

        def save_event(customer: str, event: str) -> None:
            with database:
                row = (customer, event)
                database.execute("INSERT INTO events (customer, event) VALUES (?, ?)", row)
            job_runner.dispatch("apply_events", {"customer": customer})

        def apply_event(number: int, event: str) -> None:
            applied.append(event)
            if applied == ["a1"]:
                save_event("a", "a3")  # another process does this while the job runs
                raise ConnectionError

        monkeypatch.setattr(shown, "apply_event", apply_event)
        for customer, event in (("a", "a1"), ("b", "b1"), ("a", "a2")):
            save_event(customer, event)
        job_runner.drain()
        assert [event for event in applied if event[0] == "a"] == ["a1", "a1", "a2", "a3"]
        jobs = SavedJobs().all("apply_events", status="succeeded")
        assert sorted(job.result for job in jobs) == [0, 1, 3]  # the one that follows finds none


def test_a_flooding_organization_gets_its_own_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = module("shown", snippets("queues")[3], monkeypatch)
    limits = shown.QUEUES[shown.JOBS["import_file"].queue_name]
    assert limits.slots == 50
    assert limits.key_of("acme", {}) != limits.key_of("other", {})


# --- schedules.md ---------------------------------------------------------------------------------


def test_the_schedules_of_the_page_come_and_are_put_as_it_says(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared, reports, _ = snippets("schedules")
    monkeypatch.setitem(sys.modules, "acme", module("acme", declared, monkeypatch))
    module("acme.reports", reports, monkeypatch)
    text = (ROOT / "docs/build/schedules.md").read_text()
    (command,) = re.findall(r"^job-runners (schedules put .*)$", text, re.MULTILINE)
    jobs(*shlex.split(command))
    (request,) = api.calls
    with inline_runner(environment={"JOBS_PACKAGES": "acme"}) as job_runner:
        registry().resolve_all()
        send = sender()
        assert send is not None
        recurring.start_due(send, until=clock.now() + clock.MINUTE)  # declares them
        whose = {"organization_id": "acme"}
        listed = call("GET", "/schedules", query=whose).json["schedules"]
        assert {each["name"]: each["words"] for each in listed} == {
            "nightly_report": "at 02:00 every day, Europe/Berlin",
            "sync": "every 15 minutes",
        }
        names = ("nightly_report", "sync")
        asked = [call("POST", f"/schedules/{each}/run", query=whose).json["id"] for each in names]
        job_runner.run_due()
        ended = {job.id: job.status for job in SavedJobs()}  # and an occurrence, if one has come
        assert [ended[each] for each in asked] == [Status.SUCCEEDED] * 2
        put = call(request.method, request.path.partition("?")[0], body=request.body, query=whose)
        assert (put.status, put.json["words"]) == (201, "at 09:00 on Monday, Europe/Berlin")


def test_one_schedule_bills_every_customer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    customers = ModuleType("acme.customers")
    customers.all_customers = lambda: ["ada", "grace"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.customers", customers)
    billing = module("acme.billing", snippets("schedules")[2], monkeypatch)
    billed: list[str] = []

    def bill(job: RunningJob, payload: BaseModel) -> None:
        billed.append(job.organization_id)

    bill.__annotations__["payload"] = billing.Month
    billing.JOBS = {"bill_all": Job(billing.bill_all), "bill": Job(bill)}
    with inline_runner(environment={"JOBS_PACKAGES": "acme.billing"}) as job_runner:
        for _ in range(2):
            job_runner.run("bill_all", {"month": "May"})
            assert {job.status for job in SavedJobs()} == {Status.SUCCEEDED}
    assert sorted(billed) == ["ada", "grace"]


# --- unique.md ------------------------------------------------------------------------------------


@pytest.fixture
def stack(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """Let every stack be found, with the debounced job."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    debounced = module("debounced_jobs", snippets("unique")[1], monkeypatch)
    monkeypatch.setitem(sample_work.JOBS, "index_page", debounced.JOBS["index_page"])
    return api_server


@pytest.mark.usefixtures("stack")
def test_three_requests_are_one_debounced_job_with_the_last_payload(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def dispatch() -> None:
        exec(compile(snippets("unique")[2], "debounce", "exec"), {})
        catch_up()
        (job,) = Client().list()
        assert Client().get(job.id).payload == {"page": "/", "version": 3}

    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        pool.submit(dispatch).result()
    assert capsys.readouterr().out.endswith("replaced\n")
