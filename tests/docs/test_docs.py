"""What the README and the docs show, run."""

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from click import Context, Group
from fastapi import HTTPException
from pydantic import BaseModel

from api_events import call
from job_runners import clock
from job_runners.cli.app import jobs
from job_runners.cli.problem import Exit
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import recurring
from job_runners.places import ROOT
from job_runners.runners import get_job_runner, sender
from job_runners.runners.base import JobData
from job_runners.store import blobs, children, steps
from job_runners.store.job_request import Status
from job_runners.testing.files import read_file, upload
from job_runners.testing.inline import assert_dispatched, drain, inline, saved_only
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import assert_succeeded
from job_runners.work.definitions import Job
from job_runners.work.job_ended import JobEnded, samples
from job_runners.work.retry import Retry
from job_runners.work.running_job import RunningJob
from recording_job import RecordingJob, Stopped
from shown_code import blocks, module

LETTERS = "letters_of_the_readme"


def snippets(page: str) -> list[str]:
    return blocks((ROOT / page).read_text())


@pytest.fixture
def count_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the README's job as an extension, under another name: who has done as the README says has
    this one already."""
    job = module("count_letters", snippets("README.md")[0], monkeypatch)
    table = ModuleType("readme_jobs")
    table.JOBS = {LETTERS: Job(job.count_letters, retry=Retry(max_attempts=3))}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "readme_jobs", table)


def test_the_job_of_the_readme_runs(count_letters: None) -> None:
    with saved_only(JOBS_PACKAGES="readme_jobs"):
        words = {"words": ["one", "three"]}
        get_job_runner().dispatch_job(JobData(job_type=LETTERS, payload=words))
        (row,) = drain()
        assert row.status is Status.SUCCEEDED
        assert blobs.get(row.result, row.result_key) == {"letters": 8}


def test_the_job_of_the_readme_goes_on_where_it_left_off(count_letters: None) -> None:
    job = RecordingJob(cursor=[3, 5])
    payload = sys.modules["count_letters"].CountLetters(words=["one", "three", "nine"])
    assert sys.modules["count_letters"].count_letters(job, payload) == {"letters": 12}
    assert job.cursors == [[3, 5, 4]]


def test_a_job_of_ones_own_reads_the_settings_of_the_guide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, in_a_test = snippets("docs/guides/settings_and_secrets.md")
    guide = module("greet", job, monkeypatch)
    table = ModuleType("greetings")
    table.JOBS = {"greet": Job(guide.greet)}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "greetings", table)
    with saved_only(JOBS_PACKAGES="greetings", APP_SETTING_API_KEY="k"):
        get_job_runner().dispatch_job(JobData(job_type="greet", payload={"name": "Ada"}))
        (row,) = drain()
        assert blobs.get(row.result, row.result_key) == {"said": "Hello, Ada", "signed": True}
    with saved_only(JOBS_PACKAGES="greetings"):
        get_job_runner().dispatch_job(JobData(job_type="greet", payload={"name": "Ada"}))
        (row,) = drain()
        assert row.status is Status.FAILED
        assert "The setting API_KEY doesn't exist" in row.error["message"]
    exec(compile(in_a_test, "guide", "exec"), guide.__dict__)


# --- docs/guides/writing_jobs.md ------------------------------------------------------------------


class Nothing(BaseModel):
    """A payload without fields."""


def test_the_jobs_of_the_guide_run_with_what_it_puts_around_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries, letters, endings, around = snippets("docs/guides/writing_jobs.md")
    acme = module("acme", entries + around, monkeypatch)
    module("acme.letters", letters, monkeypatch)
    check = module("acme.endings", endings, monkeypatch).check

    def ask(job: RunningJob, payload: Nothing) -> None:
        check(429 if job.attempt == 1 else 410)

    acme.JOBS["ask"] = Job(ask, retry=Retry(max_attempts=3))
    with saved_only(JOBS_PACKAGES="acme"):
        registry().resolve_all()
        words = {"words": ["one", "three"]}
        row = get_job_runner().dispatch_job(JobData(job_type="tally_letters", payload=words))
        get_job_runner().dispatch_task("note_letters", words)
        (found,) = drain()
        assert blobs.get(found.result, found.result_key) == {"letters": 8}
        get_job_runner().dispatch_job(JobData(job_type="ask", payload={}))
        [asked] = (each for each in drain() if each.job_type == "ask")
        assert (asked.attempt, asked.error["kind"]) == (2, "AccountGone")
    printed = capsys.readouterr().out
    assert f"begins job tally_letters {row.row.id} default 1 1" in printed
    assert "begins task note_letters" in printed


def test_the_follow_up_of_the_guide_is_told_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_luck(job: RunningJob, payload: JobEnded) -> None:
        raise ValueError("no luck")

    (code,) = snippets("docs/guides/get_told.md")
    guide = module("told_guide", code, monkeypatch)
    failing = guide.JOBS["import_orders"].__replace__(function=no_luck)
    monkeypatch.setitem(guide.JOBS, "import_orders", failing)
    with saved_only(JOBS_PACKAGES="told_guide"):
        (payload,) = samples("on_failure")
        get_job_runner().dispatch_job(JobData(job_type="import_orders", payload=payload))
        job, told = sorted(drain(), key=lambda row: row.job_type)
        text = f"import_orders {job.id} failed (ValueError: no luck)"
        assert blobs.get(told.result, told.result_key) == text


def test_the_jobs_of_the_guide_read_and_write_files_as_its_test_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files, on_the_disk, link, _, _, in_a_test = snippets("docs/guides/files.md")
    guide = module("guide_files", files + on_the_disk, monkeypatch)
    jobs = {name: Job(getattr(guide, name)) for name in ("capitals", "count_lines", "convert")}
    monkeypatch.setattr(guide, "JOBS", jobs, raising=False)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "guide_files"}) as job_runner:
        module("guide_test", in_a_test, monkeypatch).test_the_lines_are_in_capital_letters(
            job_runner
        )
        key = upload("page.txt", b"a page")
        (converted,) = assert_succeeded(job_runner.run("convert", {"file": key})).values()
        assert read_file(converted) == b"a page"
        text = guide.TextFile(file=upload("rows.txt", b"row\n" * 5, organization_id="acme"))
        first = RecordingJob(stop_at=2)
        with pytest.raises(Stopped):
            guide.count_lines(first, text)
        assert guide.count_lines(RecordingJob(cursor=first.cursors[-1]), text) == {"lines": 5}
    app: Any = module("guide_link", link, monkeypatch)
    app.client = Mock()
    app.client.get.return_value.get_result.return_value = {"file": "k", "url": "https://x/k?s=1"}
    app.client.get.return_value.organization_id = "acme"
    assert app.download("7", "acme").headers["location"] == "https://x/k?s=1"
    with pytest.raises(HTTPException):
        app.download("7", "another")


def test_the_guide_names_everything_that_a_job_is_handed() -> None:
    text = (ROOT / "docs/guides/writing_jobs.md").read_text()
    table = text.partition("## What a job function gets")[2].partition("## `async def`")[0]
    told = set(re.findall(r"`job\.(\w+)", table))
    handed = {name for name in dir(RunningJob) if not name.startswith("_")} - {"last_checkpoint"}
    assert told == handed | {"cursor", "progress", "message"}


# --- docs/queues.md -------------------------------------------------------------------------------


def test_the_job_of_the_page_about_queues_goes_on_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    declared, mail = snippets("docs/queues.md")
    monkeypatch.setitem(sys.modules, "acme", module("acme", declared, monkeypatch))
    module("acme.mail", mail, monkeypatch)
    with saved_only(JOBS_PACKAGES="acme"):
        registry().resolve_all()
        mailing = {"addresses": [f"{number}@example.com" for number in range(250)]}
        get_job_runner().dispatch_job(JobData(job_type="mail_list", payload=mailing))
        (row,) = drain()
        assert (row.status, row.invocations, row.attempt) == (Status.SUCCEEDED, 3, 1)
        waited = (row.finished_at or 0) - row.created_at
        assert waited > 4000  # two more turns, at one in 2 s


# --- docs/recurring.md ----------------------------------------------------------------------------


def test_the_schedules_of_the_page_come_and_are_put_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared, reports, _ = snippets("docs/recurring.md")
    monkeypatch.setitem(sys.modules, "acme", module("acme", declared, monkeypatch))
    module("acme.reports", reports, monkeypatch)
    text = (ROOT / "docs/recurring.md").read_text()
    (request,) = re.findall(r"curl -X (PUT) \"\$API(\S+)\" -d '(.*?)'", text, re.DOTALL)
    with saved_only(JOBS_PACKAGES="acme"):
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
        ended = {row.id: row.status for row in drain()}  # and an occurrence, if one has come
        assert [ended[each] for each in asked] == [Status.SUCCEEDED] * 2
        method, path, body = request
        put = call(method, path, raw=body, query={"organization_id": "other"})
        assert (put.status, put.json["words"]) == (201, listed[0]["words"])


def test_one_schedule_bills_every_customer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    customers = ModuleType("acme.customers")
    customers.all_customers = lambda: ["ada", "grace"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.customers", customers)
    billing = module("acme.billing", snippets("docs/recurring.md")[2], monkeypatch)
    billed: list[str] = []

    def bill(job: RunningJob, payload: BaseModel) -> None:
        billed.append(job.organization_id)

    bill.__annotations__["payload"] = billing.Month
    billing.JOBS = {"bill_all": Job(billing.bill_all), "bill": Job(bill)}
    with saved_only(JOBS_PACKAGES="acme.billing"):
        for _ in range(2):
            get_job_runner().dispatch_job(JobData(job_type="bill_all", payload={"month": "May"}))
            assert {row.status for row in drain()} == {Status.SUCCEEDED}
    assert sorted(billed) == ["ada", "grace"]


# --- docs/control.md ------------------------------------------------------------------------------


@pytest.fixture
def invite(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the page's job, as an extension."""
    job = module("invite", snippets("docs/control.md")[0], monkeypatch)
    table = ModuleType("control_jobs")
    table.JOBS = {"invite": Job(job.invite, retry=Retry(max_attempts=3))}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "control_jobs", table)
    return job


def test_the_steps_and_the_child_of_the_page_about_control_are_done_once(
    invite: Any,
) -> None:
    with saved_only(JOBS_PACKAGES="control_jobs"):
        payload = {"names": ["Ada", "Grace"]}
        job = JobData(job_type="invite", organization_id="acme", payload=payload)
        get_job_runner().dispatch_job(job)
        rows = {row.job_type: row for row in drain()}
        assert len(rows) == 2
        assert (rows["invite"].status, rows["invite"].attempt) == (Status.SUCCEEDED, 2)
        assert rows["remove_uploads"].organization_id == "acme"
        assert invite.printed == ["Ada", "Grace"]


def test_the_requests_of_the_page_about_control_are_answered_as_it_says(
    invite: Any,
) -> None:
    page = (ROOT / "docs/control.md").read_text()
    requests = [
        each
        for block in re.findall(r"```http\n(.*?)```", page, re.DOTALL)
        for each in re.split(r"\n(?=[A-Z]+ )", block.strip())
    ]
    assert len(requests) == 18
    with saved_only(JOBS_PACKAGES="control_jobs"):
        job_id = ""
        for text in requests:
            line, *rest = text.strip().splitlines()
            method, path, status = re.fullmatch(r"(\w+) (\S+)   # (\d+).*", line).groups()  # type: ignore[union-attr]
            headers = dict(each.split(": ", 1) for each in rest if not each.startswith("{"))
            raw = "".join(each for each in rest if each.startswith("{"))
            answer = call(method, path.replace("{id}", job_id), raw=raw, headers=headers)
            assert answer.status == int(status), (line, answer.text)
            assert ("the same job" in line) == ("idempotent-replayed" in answer.headers)
            if path == "/jobs" and answer.status == 202:
                job_id = answer.json["id"]


def test_the_page_about_control_says_how_long_names_may_be() -> None:
    step, child = (f"{steps.LONGEST_NAME - len(each):,}" for each in ("step ", children.PREFIX))
    said = f"A step's name has at most {step} bytes, a child's key {child};"
    assert said in " ".join((ROOT / "docs/control.md").read_text().split())


def test_the_large_payload_of_the_page_about_control_comes_back(
    invite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with saved_only(JOBS_PACKAGES="control_jobs"):
        shown = module("snippet", snippets("docs/control.md")[-1], monkeypatch)
        assert blobs.get(shown.row.payload, shown.row.payload_key) == {"names": shown.names}


def test_a_job_that_was_not_dispatched_is_told_with_what_was(count_letters: None) -> None:
    with saved_only(JOBS_PACKAGES="readme_jobs"):
        get_job_runner().dispatch_job(JobData(job_type=LETTERS, payload={"words": []}))
        with pytest.raises(AssertionError, match=f"All types dispatched: {LETTERS}"):
            assert_dispatched("remove_uploads")
        with pytest.raises(AssertionError, match="1 jobs have that type"):
            assert_dispatched(LETTERS, organization_id="other")


def test_inline_work_runs_where_it_is_dispatched(count_letters: None) -> None:
    with inline(JOBS_PACKAGES="readme_jobs"):
        job = JobData(job_type=LETTERS, payload={"words": ["a"]})
        row = get_job_runner().dispatch_job(job)
        assert assert_dispatched(LETTERS, id=row.row.id).status is Status.SUCCEEDED


# --- docs/reference/commands.md -----------------------------------------------------------------------


def command_lines(page: Path) -> list[list[str]]:
    """Return the command lines of `job-runners` in a page's blocks and sentences, each as words."""
    text = page.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    found = re.findall(r"(?:^|\()job-runners ([a-z].*)", "\n".join(blocks), re.MULTILINE)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found += re.findall(r"`job-runners ([a-z][^`|\\]*)", prose)
    return [shlex.split(re.split(r"\)| [|<>] ", line)[0], comments=True) for line in found]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "words",
    {" ".join(words): words for page in PAGES for words in command_lines(page)}.values(),
    ids=" ".join,
)
def test_the_command_lines_of_the_docs_are_ones(words: list[str]) -> None:
    command, rest = jobs.get_command(Context(jobs), words[0]), words[1:]
    if isinstance(command, Group) and rest and not rest[0].startswith("-"):
        command, rest = command.get_command(Context(command), rest[0]), rest[1:]
    assert command is not None
    _, unexpected, _ = command.make_parser(Context(command)).parse_args(rest)
    assert not unexpected


def test_the_exit_codes_are_the_same_in_the_code_its_help_and_its_page() -> None:
    codes = [str(code.value) for code in Exit]
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == codes
    assert re.findall(r"^  (\d+)  ", jobs.epilog or "", re.MULTILINE) == codes
