"""The jobs and callers that the how-to pages show, run."""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import sample_work
from api_server import ApiServer
from job_runners import Client
from job_runners.building.app_folder import read_workers
from job_runners.building.sam_folder import check_policies
from job_runners.building.worker_classes import add_worker_functions
from job_runners.client import stack_outputs
from job_runners.errors import InvalidPayload
from job_runners.places import CODE, ROOT
from job_runners.testing.aws import forget
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded
from job_runners.work import Job
from shown_code import blocks, module
from stale_reads import catch_up


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def snippets(name: str) -> list[str]:
    return blocks(page(name))


def run(job_runner: InlineRunner, job_type: str, payload: dict[str, Any]) -> Any:
    return assert_succeeded(job_runner.run(job_type, payload))


EARLIER_AND_NEWER = """
from pydantic import BaseModel
from job_runners.work import Job, RunningJob

class Nothing(BaseModel):
    pass

class Bill(BaseModel):
    order: int

class NewerBill(Bill):
    currency: str

def newer_bill(job: RunningJob, payload: NewerBill):
    job.step("charge", lambda: "newer charge")
    job.checkpoint({"at": 2}, durable=True)
    job.sleep("an hour", 3600)

def earlier_bill(job: RunningJob, payload: Bill):
    steps = [job.step(name, lambda: f"earlier {name}") for name in ("charge", "mail")]
    return [*steps, payload.order, job.cursor]

def of_newer(job: RunningJob, payload: Nothing):
    pass

JOBS = {"bill": Job(newer_bill), "of_newer": Job(of_newer)}
"""


def deploy(shown: Any, jobs: dict[str, Job]) -> None:
    shown.JOBS = jobs
    forget()


def test_earlier_code_runs_what_newer_code_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/operate/upgrading.md says: Roll back your own code."""
    shown = module("shown", EARLIER_AND_NEWER, monkeypatch)
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.dispatch("bill", {"order": 7, "currency": "EUR"})
        lost = job_runner.dispatch("of_newer", {}, delay=3600)
        job_runner.run_due()
        deploy(shown, {"bill": Job(shown.earlier_bill)})
        job_runner.drain()
        saved = SavedJobs()
        assert assert_succeeded(saved.get(job.id)) == ["newer charge", "earlier mail", 7, {"at": 2}]
        assert assert_failed(saved.get(lost.id)).kind == "NeverStarted"
        with pytest.raises(InvalidPayload):
            job_runner.dispatch("bill", {"order": 7, "currency": "EUR"})


def test_a_pause_keeps_a_job_that_only_newer_code_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = module("shown", EARLIER_AND_NEWER, monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        job_runner.pause("of_newer")
        job = job_runner.dispatch("of_newer", {})
        job_runner.run_due()
        deploy(shown, {})
        job_runner.drain()
        assert "waited 30 days" in assert_failed(SavedJobs().get(job.id)).message


# --- callers --------------------------------------------------------------------------------------


@pytest.fixture
def stack(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """Let every stack be found, with the jobs of the pages."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    jobs = {
        **module("debounced_jobs", snippets("build/unique")[1], monkeypatch).JOBS,
        "count_letters": sample_work.JOBS["sample_once"],
    }
    for name, job in jobs.items():
        monkeypatch.setitem(sample_work.JOBS, name, job)
    return api_server


def call(function: Any, *arguments: Any) -> Any:
    catch_up()  # most pages list what they have dispatched before
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        return pool.submit(function, *arguments).result()


def test_the_export_prints_each_job_with_its_payload(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    client = Client(organization_id="acme")
    dispatched = call(client.dispatch, "index_page", {"page": "/", "version": 1})
    capsys.readouterr()
    call(exec, compile(snippets("operate/data")[0], "export", "exec"), {})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["id"] == dispatched.id
    assert json.loads(line)["payload"] == {"page": "/", "version": 1}


# A stand-in for the command: it lists two groups, and notes what is retried.
LISTS_AND_NOTES = """#!/bin/sh
case $1 in
failures) echo '{"error_groups": [
    {"id": "'"$4"-1'", "job_type": "import_orders", "error_kind": "KeyError"},
    {"id": "'"$4"-2'", "job_type": "import_orders", "error_kind": "OSError"}]}' ;;
*) echo "$@" ;;
esac
"""


def test_the_drill_retries_one_bugs_jobs_in_each_organization(tmp_path: Path) -> None:
    (drill,) = re.findall(r"```sh\n(while .*?)```", page("operate/incidents"), re.DOTALL)
    command = tmp_path / "job-runners"
    command.write_text(LISTS_AND_NOTES)
    command.chmod(0o755)
    (tmp_path / "organizations.txt").write_text("acme\nglobex\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", drill],
        cwd=tmp_path,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"retry --error-group {each}-1 --organization {each} --rate 5 --yes"
        for each in ("acme", "globex")
    ]


def test_the_jobs_with_one_persons_data_are_found(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    client = Client(organization_id="acme")
    for page in ("ada@example.com", "bob@example.com"):
        job = call(client.dispatch, "index_page", {"page": page, "version": 1})
    capsys.readouterr()
    call(exec, compile(snippets("operate/data")[1], "erasing", "exec"), {})
    (found,) = capsys.readouterr().out.split()
    assert found != job.id
    assert call(client.get, found).payload["page"] == "ada@example.com"


def test_the_guide_to_worker_classes_is_short_and_what_it_shows_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/build/worker_classes.md").read_text()
    assert len(page.split()) <= 900
    (declared,) = blocks(page, "toml")
    config, own, ours = (tmp_path / each for each in ("app.toml", "own.yaml", "ours.yaml"))
    config.write_text(declared)
    workers = read_workers(config)
    ours.write_text(add_worker_functions((CODE / "template.yaml").read_text(), workers))
    own.write_text(*blocks(page, "yaml"))
    check_policies(own, ours)
    for code in snippets("build/worker_classes"):
        defined = module("shown_classes", code, monkeypatch)
        for work in (defined.JOBS | getattr(defined, "TASKS", {})).values():
            assert work.worker in (None, *workers)
