"""What the README and the docs show, run."""

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click import Context, Group
from pydantic import BaseModel

from job_runners.cli.app import jobs
from job_runners.cli.problem import Exit
from job_runners.engine.registry.registry import registry
from job_runners.places import ROOT
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.store import blobs, children, steps
from job_runners.store.job_request import Status
from job_runners.testing.inline import assert_dispatched, drain, inline, saved_only
from job_runners.work.definitions import Job
from job_runners.work.retry import Retry
from job_runners.work.running_job import RunningJob
from recording_job import RecordingJob
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


def test_the_guide_names_everything_that_a_job_is_handed() -> None:
    text = (ROOT / "docs/guides/writing_jobs.md").read_text()
    table = text.partition("## What a job function gets")[2].partition("## `async def`")[0]
    told = set(re.findall(r"`job\.(\w+)", table))
    handed = {name for name in dir(RunningJob) if not name.startswith("_")} - {"last_checkpoint"}
    assert told == handed | {"cursor", "progress", "message"}


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


def test_the_page_about_control_says_how_long_names_may_be() -> None:
    step, child = (f"{steps.LONGEST_NAME - len(each):,}" for each in ("step ", children.PREFIX))
    said = f"A step's name has at most {step} bytes, a child's key {child};"
    assert said in " ".join((ROOT / "docs/control.md").read_text().split())


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
