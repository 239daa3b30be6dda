"""Worker classes in `job-runners run`: each has processes, memory and a timeout of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervised import Run, running, until, write_project

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("run classes")]

WORK = '''
import os
import time

from pydantic import BaseModel

from job_runners.work import Job, Retry, RunningJob, Task


class What(BaseModel):
    kind: str = ""


def where(job: RunningJob, payload: What) -> list[str]:
    """Return the function that runs the job, and its memory."""
    if payload.kind == "dies" and job.attempt == 1:
        os._exit(3)
    if payload.kind == "takes long":
        time.sleep(600)
    if payload.kind == "parent":
        job.dispatch("small", {}, key="child")
    print("ran in", os.environ["AWS_LAMBDA_FUNCTION_NAME"])
    names = ("FUNCTION_NAME", "FUNCTION_MEMORY_SIZE")
    return [os.environ[f"AWS_LAMBDA_{name}"] for name in names]


def note(payload: What) -> None:
    """Print the function that runs the task."""
    print("task ran in", os.environ["AWS_LAMBDA_FUNCTION_NAME"])


AGAIN = Retry(max_attempts=2, base=0.1, cap=0.1)
JOBS = {
    "small": Job(where, retry=AGAIN),
    "large": Job(where, retry=AGAIN, worker="large"),
    "blocked": Job(where, worker="blocked"),
}
TASKS = {"large_note": Task(note, worker="large")}
'''
CLASSES = "[workers.large]\nmemory = 4096\ntimeout = 60\n[workers.blocked]\nconcurrency = 1\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    files = {"my_work/__init__.py": WORK, "app.toml": CLASSES}
    project = write_project(tmp_path_factory.mktemp("classes") / "project", files)
    with running(project) as started:
        yield started


def reach(run: Run, job_id: str) -> dict[str, Any]:
    """Return a job once it has ended."""
    return run.reach(job_id)


def test_a_job_runs_in_the_processes_of_its_class(run: Run) -> None:
    large, small = run.dispatch("large", {"kind": "parent"}), run.dispatch("small")
    assert reach(run, large)["result"] == ["local-tests-worker-large", "4096"]
    assert reach(run, small)["result"] == ["local-tests-worker", "1024"]
    (child,) = run.api.get(f"/jobs/{large}/children").json["children"]
    assert reach(run, child["id"])["result"][0] == "local-tests-worker"
    lines = run.command("logs", large).stdout
    assert "ran in local-tests-worker-large" in lines  # in the log group of all workers


def test_a_job_whose_process_dies_runs_again_in_its_class(run: Run) -> None:
    job = reach(run, run.dispatch("large", {"kind": "dies"}))
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert job["result"][0] == "local-tests-worker-large"


def test_a_task_runs_in_its_class(run: Run) -> None:
    run.command("task", "large_note")
    until(lambda: "task ran in local-tests-worker-large" in run.shown)


def test_a_class_without_capacity_blocks_no_other(run: Run) -> None:
    run.reach(run.dispatch("blocked", {"kind": "takes long"}), "running")
    blocked = [run.dispatch("blocked") for _ in range(30)]
    assert reach(run, run.dispatch("small"))["status"] == "succeeded"
    assert reach(run, run.dispatch("large"))["status"] == "succeeded"
    assert run.job(blocked[0])["status"] == "queued"


def test_the_commands_show_the_class(run: Run) -> None:
    assert "worker large" in run.command("types", "large").stdout
    assert "large" in run.command("show", run.dispatch("large")).stdout
    types = run.api.get("/job-types").json
    assert {each["name"]: each["worker"] for each in types["jobs"] if each["name"] in WORK} == {
        "small": None,
        "large": "large",
        "blocked": "blocked",
    }


def test_a_class_that_is_not_declared_is_shown_with_its_place(run: Run) -> None:
    """Without ending the run, which goes on with the code before."""
    source = run.project / "my_work" / "__init__.py"
    text = source.read_text()
    source.write_text(text.replace('worker="large"', 'worker="larg"', 1))
    until(lambda: "app.toml has no [workers.larg]. Did you mean large?" in run.shown)
    source.write_text(text)
    (run.project / "app.toml").write_text(f"{CLASSES}[workers.huge]\nmemory = 10240\n")
    until(lambda: "app.toml has changed." in run.shown)
    source.write_text(text.replace('worker="large"', 'worker="huge"', 1))
    until(lambda: "Reloaded" in run.shown.rpartition("app.toml has changed.")[2])
    source.write_text(text)
    assert "has no [workers.huge]" not in run.shown


@pytest.mark.parametrize("processes", ["fork", "spawn"])
def test_work_of_the_first_class_runs_in_the_default_worker_until_a_new_start(
    tmp_path: Path, processes: str
) -> None:
    project = write_project(tmp_path / "project", {"my_work/__init__.py": "JOBS = {}\n"})
    with running(project, "--processes", processes) as run:
        (project / "app.toml").write_text("[workers.large]\nmemory = 4096\n[workers.blocked]\n")
        until(lambda: "app.toml has changed." in run.shown)
        (project / "my_work" / "__init__.py").write_text(WORK)
        until(lambda: "Reloaded" in run.shown)
        job = reach(run, run.dispatch("large", {}))
        assert job["result"][0] == "local-tests-worker"
