"""The jobs that the pages about writing jobs show, run: project, jobs, retries, checkpoints, steps,
waits."""

import re
import sys
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from job_runners.engine.registry.registry import registry
from job_runners.places import ROOT
from job_runners.testing.files import upload
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded
from job_runners.work import Job, Retry, RunningJob
from shown_code import blocks, module


def page(name: str) -> str:
    return (ROOT / "docs" / "build" / f"{name}.md").read_text()


def shown(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a block of code of a page as the module `shown`."""
    return module("shown", blocks(page(name))[number], monkeypatch)


# --- project.md -----------------------------------------------------------------------------------


def test_a_job_reads_the_settings_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = blocks(page("project"))
    guide = module("greet", job, monkeypatch)
    table = ModuleType("greetings")
    table.JOBS = {"greet": Job(guide.greet)}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "greetings", table)
    environment = {"JOBS_PACKAGES": "greetings"}
    with inline_runner(environment=environment | {"APP_SETTING_API_KEY": "k"}) as job_runner:
        greeted = assert_succeeded(job_runner.run("greet", {"name": "Ada"}))
        assert greeted == {"said": "Hello, Ada", "signed": True}
    with inline_runner(environment=environment) as job_runner:
        error = assert_failed(job_runner.run("greet", {"name": "Ada"}))
        assert "The setting API_KEY doesn't exist" in error.message


# --- writing_jobs.md ------------------------------------------------------------------------------


def test_the_jobs_of_the_page_run_with_what_it_puts_around_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    letters, entries, around = blocks(page("writing_jobs"))
    module("acme", entries + around, monkeypatch)
    module("acme.letters", letters, monkeypatch)
    with inline_runner(environment={"JOBS_PACKAGES": "acme"}) as job_runner:
        registry().resolve_all()
        words = {"words": ["one", "three"]}
        job = job_runner.run("tally_letters", words)
        assert assert_succeeded(job) == {"letters": 8}
        job_runner.run_task("note_letters", words)
    printed = capsys.readouterr().out
    assert f"begins job tally_letters {job.id} default 1" in printed
    assert "begins task note_letters" in printed


def test_the_page_names_everything_that_a_job_gets() -> None:
    table = page("writing_jobs").partition("## What a job gets")[2].partition("\n## ")[0]
    named = set(re.findall(r"`job\.(\w+)", table))
    given = {name for name in dir(RunningJob) if not name.startswith("_")} - {"last_checkpoint"}
    assert named == given | {"cursor", "progress", "message"}


# --- retries.md -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "attempts", "error"),
    [([503, 429, 200], 3, None), ([404], 1, "DoNotRetry"), ([503] * 8, 8, "ConnectionError")],
)
def test_the_job_of_the_page_is_retried_as_it_says(
    answers: list[int], attempts: int, error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = shown("retries", 0, monkeypatch)
    assert code.answers == [503, 429, 200]
    code.answers = answers
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.run("sync_account", {"account_id": 7})
        assert (job.attempt, job.error and job.error.kind) == (attempts, error)
    if 429 in answers:
        assert clock.moved > 55_000  # a part of the 60 s passes while the job runs


def test_the_page_says_how_long_a_job_keeps_trying() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) (s|min) \| (\d+) \3 \|$", page("retries"), re.MULTILINE)
    assert len(rows) == 5
    for attempts, average, unit, most in rows:
        policy = Retry(max_attempts=int(attempts))
        limits = [min(policy.cap, policy.base * 2**n) for n in range(int(attempts) - 1)]
        length = {"s": 1, "min": 60}[unit]
        assert round(sum(limits) / length) == int(most)
        assert round(sum(limits) / 2 / length) == int(average)
    assert Retry().max_attempts == 5


# --- checkpoints.md -------------------------------------------------------------------------------


def test_the_pages_of_an_archive_are_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    shown("checkpoints", 0, monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.run("archive_pages", {"last_page": 3})
        assert assert_succeeded(job) == {"pages": 3}


def test_a_job_waits_for_the_answer_of_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    code = shown("checkpoints", 1, monkeypatch)
    ecs = Mock()
    no_capacity = {"failures": [{"reason": "RESOURCE:CPU"}], "tasks": []}
    started = {"failures": [], "tasks": [{"taskArn": "arn:task"}]}
    ecs.run_task.side_effect = [no_capacity, started, started]
    monkeypatch.setattr(code, "get_session", lambda: Mock(create_client=lambda _: ecs))
    settings = {"JOBS_PACKAGES": "shown", "APP_SETTING_CONTAINER_SUBNET": "subnet-1"}
    with inline_runner(MovableClock(), settings) as job_runner:
        key = upload("in.mp4", b"a video")
        answer = {"file": "small.mp4"}
        job = job_runner.run("transcode", {"file": key}, signals={"transcoded": answer})
        assert assert_succeeded(job) == answer
        fails = {"transcoded": {"error": "no such codec"}}
        failed = job_runner.run("transcode", {"file": key}, signals=fails)
        assert "no such codec" in assert_failed(failed).message
        assert failed.attempt == 1
    requests = [each.kwargs for each in ecs.run_task.call_args_list]
    assert requests[0] == requests[1] != requests[2]
    assert [each["clientToken"] for each in requests] == [job.id, job.id, failed.id]
    shape = ServiceModel(Loader().load_service_model("ecs", "service-2")).operation_model("RunTask")
    assert shape.input_shape
    for request in requests:
        (container,) = request["overrides"]["containerOverrides"]
        variables = {each["name"]: each["value"] for each in container["environment"]}
        assert variables["INPUT"] == key
        assert variables["OUTPUT"].endswith("/small.mp4")
        assert "/answers/" in variables["CALLBACK"]
        assert not ParamValidator().validate(request, shape.input_shape).has_errors()


# --- steps.md -------------------------------------------------------------------------------------


def test_an_order_is_charged_once_and_has_one_invoice(monkeypatch: pytest.MonkeyPatch) -> None:
    code = shown("steps", 0, monkeypatch)
    charge, charged = code.charge, []

    def charge_and_fail_later(key: str, cents: int) -> str:
        charged.append(key)
        monkeypatch.setattr(RunningJob, "dispatch", fail_after(RunningJob.dispatch))
        return str(charge(key, cents))

    def fail_after(dispatch: Any) -> Any:
        def fails(*given: Any, **named: Any) -> None:
            monkeypatch.setattr(RunningJob, "dispatch", dispatch)
            dispatch(*given, **named)
            raise ConnectionError

        return fails

    code.charge = charge_and_fail_later
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        order = {"order_id": 7, "cents": 100}
        job = job_runner.run("settle_order", order, organization_id="acme")
        assert assert_succeeded(job) == "receipt of charge order 7"
        assert job.attempt == 2
        child = SavedJobs().only("send_invoice")
        assert (child.organization_id, child.parent_id) == ("acme", job.id)
    assert charged == ["charge order 7"]


# --- waits.md -------------------------------------------------------------------------------------


def test_the_job_of_the_page_sleeps_for_two_weeks(monkeypatch: pytest.MonkeyPatch) -> None:
    code = shown("waits", 0, monkeypatch)
    code.JOBS = {"remind_of_trial": Job(code.remind_of_trial)}
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": "shown"}) as job_runner:
        assert_succeeded(job_runner.run("remind_of_trial", {"address": "Ada"}))
    assert code.sent == ["Welcome, Ada", "Your trial ends soon, Ada"]
    assert clock.moved > 13 * 24 * 3600 * 1000
