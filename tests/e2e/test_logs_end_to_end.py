"""What work prints and logs in functions, on the local AWS and, as they are built, under SAM's
Runtime Interface Emulator: all of it is in the log, with its ids, and none of it is an answer."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chatty_work
from chatty_work import ANSWER, FORGED, SAID
from job_runners.local.run_folder import credentials, env_variables
from job_runners.places import ROOT
from local_stack import Deployed
from runtime_emulator import runtime_emulator
from supervised import Run, environment, running, until, write_project

# In `job-runners run`. This gives up Lambda's Python runtime, which the test under SAM's emulator
# has, with the functions as they are built.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local AWS")]

WORK = Path(chatty_work.__file__)
JOB = "chatty"
# In a process that saves a job and doesn't send it.
SAVED = f"""
from job_runners import runners
from job_runners.engine.dispatch.dispatch import accept_job
print(accept_job(runners.JobData(job_type={JOB!r}), send=runners.sender()).row.id)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Yield a run of the chatty work."""
    files = {"my_work/__init__.py": WORK.read_text()}
    with running(write_project(tmp_path_factory.mktemp("chatty") / "project", files)) as started:
        yield started


def read(run: Run, work_id: str, last: str) -> list[dict[str, Any]]:
    """Return the lines of a job or task once this one is there, by `job-runners logs`."""

    def lines() -> list[dict[str, Any]]:
        found = run.command("logs", work_id, "--json").stdout.splitlines()
        read = [json.loads(line) for line in found]
        return read if last in [line["message"] for line in read] else []

    found: list[dict[str, Any]] = until(lines)
    return found


def own(lines: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """Return what the job said by itself, and where."""
    ours = ("claimed", "not sent, stays due", "succeeded")
    return [
        (line.get("stream"), line["message"])
        for line in lines
        if line["message"] not in ours and line.get("attempt") == 2
    ]


def test_all_that_a_job_says_is_in_its_log(run: Run) -> None:
    job_id = run.dispatch(JOB)
    lines = read(run, job_id, "succeeded")
    assert own(lines) == SAID
    for line in lines:
        assert line["job_id"] == job_id
        if line["message"] != "accepted":  # by the API
            assert (line["attempt"], line["invocation"]) in {(1, 1), (2, 2)}
    assert ("stdout", "not yet") in [(line.get("stream"), line["message"]) for line in lines]
    assert run.job(job_id)["result"] == "its own answer"
    # What a program prints is in the worker's log as it is, and none of it passes for a line.
    group = f"/{run.stack.name}/worker"
    events = run.client("logs").filter_log_events(logGroupName=group)["events"]
    raw = [event["message"].strip() for event in events]
    assert {ANSWER, "from a program"} <= set(raw)
    assert FORGED not in raw


def test_following_ends_with_the_job_and_shows_what_was_printed(run: Run) -> None:
    shown = run.command("logs", run.dispatch(JOB), "--follow").stdout
    assert "stdout  2/2    printed\n" in shown
    assert shown.index("not yet") < shown.index("not ended")
    assert shown.splitlines()[-1].split()[4] == "succeeded"


def test_a_tasks_lines_are_found_by_its_id(run: Run) -> None:
    task_id = run.api.post("/tasks", {"task_name": "chatty_note", "payload": {}}).json["id"]
    lines = read(run, task_id, "task done")
    (note,) = [line for line in lines if line["message"] == "a note"]
    assert (note["task_id"], note["task_name"], note["attempt"]) == (task_id, "chatty_note", 1)


def test_under_sam_local_it_is_the_same(run: Run, deployed: Deployed, tmp_path: Path) -> None:
    given = env_variables(run.stack, host="127.0.0.1") | credentials(run.stack).variables
    given |= {"JOBS_PACKAGES": WORK.stem, "AWS_DEFAULT_REGION": run.stack.region}
    done = subprocess.run(
        [sys.executable, "-c", SAVED],
        env={**environment(run.project), **given, "PYTHONPATH": f"{ROOT}:{WORK.parent}"},
        capture_output=True,
        text=True,
        check=True,
    )
    job_id = done.stdout.split()[-1]
    given["PYTHONPATH"] = f"{deployed.tree}:{WORK.parent}"
    log = tmp_path / "worker.log"
    handler = "job_runners.handlers.worker.handler"
    with runtime_emulator(handler, deployed.tree, given, log) as emulator:
        event = {"v": 1, "kind": "job", "id": job_id, "job_type": JOB, "send_id": "s"}
        event["queue_name"] = "default"
        for _ in range(2):  # attempts
            assert emulator.invoke(event) is None
    text = log.read_text().splitlines()
    lines = [json.loads(line) for line in text if '"job_id"' in line and '"service"' in line]
    assert own([line for line in lines if line["job_id"] == job_id]) == SAID
