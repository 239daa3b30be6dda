"""What work prints and logs in the functions as they are built, on the local AWS and under SAM's
Runtime Interface Emulator: all of it is in the log, with its ids, and none of it is an answer."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chatty_work
from chatty_work import ANSWER, FORGED, SAID
from job_runners.cli import local_aws
from job_runners.local.run_folder import credentials, env_variables
from job_runners.places import ROOT
from jobs_command import PATIENCE, jobs
from local_stack import Local
from runtime_emulator import runtime_emulator
from stack_clients import session

pytestmark = pytest.mark.e2e

FUNCTION = "chatty"
WORK = Path(chatty_work.__file__)


@pytest.fixture(scope="module")
def worker(local: Local) -> Iterator[str]:
    """Yield the name of a second worker: the built one's code, with the chatty work."""
    functions = session(local.stack).client("lambda", endpoint_url=local.stack.endpoint_url)
    settings = functions.get_function_configuration(FunctionName=local.stack.worker_function_arn)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(WORK, WORK.name)
        code = (
            f"import sys\nsys.path.insert(0, {str(local.tree)!r})\n"
            "from job_runners.handlers.worker import *\n"
        )
        archive.writestr("chatty_worker.py", code)
    functions.create_function(
        FunctionName=FUNCTION,
        Runtime=settings["Runtime"],
        Role=settings["Role"],
        Handler="chatty_worker.handler",
        Code={"ZipFile": packed.getvalue()},
        Timeout=120,
        Environment={
            "Variables": settings["Environment"]["Variables"] | {"JOBS_PACKAGES": WORK.stem}
        },
        LoggingConfig=settings["LoggingConfig"],
    )
    yield FUNCTION
    functions.delete_function(FunctionName=FUNCTION)


@pytest.fixture(autouse=True)
def make_run_is_up(local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command find the stack as it finds that of make run."""
    local.stack.save(tmp_path / local_aws.STACK_FILE)
    monkeypatch.setattr(local_aws, "HOME", tmp_path)


# In a process of its own, that knows the chatty work as the stack's API does not.
JOB = f"print(runners.dispatch_job(runners.JobData(job_type={FUNCTION!r})).id)"
SAVED = f"""
from job_runners.engine.dispatch.dispatch import accept_job
print(accept_job(runners.JobData(job_type={FUNCTION!r}), send=runners.sender()).row.id)
"""
TASK = 'print(runners.dispatch_task("chatty_note", {}))'


def dispatch(local: Local, code: str) -> str:
    """Run code that dispatches; return the id that it prints."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **env_variables(local.stack, host="127.0.0.1"),
        **credentials(local.stack).variables,
        "AWS_DEFAULT_REGION": local.stack.region,
        "JOB_RUNNER": "lambda-async",
        "WORKER_LAMBDA_FUNCTION_NAME": f"{FUNCTION}:$LATEST",
        "JOBS_PACKAGES": WORK.stem,
        "PYTHONPATH": f"{ROOT}:{WORK.parent}",
    }
    command = [sys.executable, "-c", f"from job_runners import runners\n{code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def read(work_id: str, last: str) -> list[dict[str, Any]]:
    """Return the lines of a job or task once this one is there, by `job-runners logs`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = jobs("logs", work_id, "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if last in [line["message"] for line in lines]:
            return lines
        assert time.monotonic() < deadline, done.output
        time.sleep(0.2)


def own(lines: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """Return what the job said by itself, and where."""
    ours = ("claimed", "not sent, stays due", "succeeded")
    return [
        (line.get("stream"), line["message"])
        for line in lines
        if line["message"] not in ours and line["attempt"] == 2
    ]


def test_all_that_a_job_says_is_in_its_log(local: Local, worker: str) -> None:
    job_id = dispatch(local, JOB)
    lines = read(job_id, "succeeded")
    assert own(lines) == SAID
    for line in lines:
        assert line["job_id"] == job_id
        assert (line["attempt"], line["invocation"]) in {(1, 1), (2, 2)}
    assert ("stdout", "not yet") in [(line.get("stream"), line["message"]) for line in lines]
    job = local.api.get(f"/jobs/{job_id}").json
    assert (job["status"], job["result"]) == ("succeeded", "its own answer")


def test_what_a_program_prints_is_in_the_workers_log_as_it_is(local: Local, worker: str) -> None:
    began = int(time.time() * 1000)
    job_id = dispatch(local, JOB)
    read(job_id, "succeeded")
    functions = session(local.stack).client("lambda", endpoint_url=local.stack.endpoint_url)
    settings = functions.get_function_configuration(FunctionName=FUNCTION)
    logs = session(local.stack).client("logs", endpoint_url=local.stack.endpoint_url)
    events = logs.filter_log_events(
        logGroupName=settings["LoggingConfig"]["LogGroup"], startTime=began
    )["events"]
    raw = [event["message"].strip() for event in events]
    assert {ANSWER, "from a program"} <= set(raw)
    assert FORGED not in raw


def test_following_ends_with_the_job_and_shows_what_was_printed(local: Local, worker: str) -> None:
    job_id = dispatch(local, JOB)
    done = jobs("logs", job_id, "--follow")
    assert done.exit_code == 0, done.output
    assert "stdout  2/2    printed\n" in done.stdout
    assert done.stdout.index("not yet") < done.stdout.index("not ended")
    assert done.stdout.splitlines()[-1].split()[4] == "succeeded"


def test_a_tasks_lines_are_found_by_its_id(local: Local, worker: str) -> None:
    task_id = dispatch(local, TASK)
    note, _ = [line for line in read(task_id, "task done") if line["level"] == "INFO"]
    assert (note["message"], note["task_id"]) == ("a note", task_id)
    assert (note["task_name"], note["attempt"]) == ("chatty_note", 1)


def test_under_sam_local_it_is_the_same(local: Local, tmp_path: Path) -> None:
    given = env_variables(local.stack, host="127.0.0.1") | credentials(local.stack).variables
    given |= {"JOBS_PACKAGES": WORK.stem, "PYTHONPATH": f"{local.tree}:{WORK.parent}"}
    job_id = dispatch(local, SAVED)
    log = tmp_path / "worker.log"
    with runtime_emulator(
        "job_runners.handlers.worker.handler", local.tree, given, log
    ) as emulator:
        event = {"v": 1, "kind": "job", "id": job_id, "job_type": FUNCTION, "send_id": "s"}
        event["queue_name"] = "default"
        for _ in range(2):  # attempts
            assert emulator.invoke(event) is None
    text = log.read_text().splitlines()
    lines = [json.loads(line) for line in text if '"job_id"' in line and '"service"' in line]
    assert own([line for line in lines if line["job_id"] == job_id]) == SAID
