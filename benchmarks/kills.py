"""Kill a process in the middle of its work, and check whether the work is lost or done twice.

This runs on the local AWS. The work writes down the id of its process. The process then gets
SIGKILL, as if its machine had failed or run out of memory. After that, there is time to recover.
Here, queues deliver a message again after 5 s, and the local AWS repeats an event after 1 s and
2 s.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.environment import PROGRAMS
from benchmarks.live_aws import VISIBILITY, LiveAws, Notes, kill_group, wait_for
from benchmarks.peers import CELERY, DRAMATIQ, DURABLE, FASTAPI, ZAPPA

_TAKES = 2.0  # seconds that the work takes
_RECOVERY = 2 * VISIBILITY + 3.0  # seconds in which a message is delivered again, if at all
_NO_RECORD = "no record is kept"
LATE = "acknowledged_late"  # the Celery task that declares that it may run again


@dataclass(frozen=True)
class Aftermath:
    """The result of one kill: how often the work started in total, and its final status."""

    title: str
    starts: int
    status: str
    retryable: bool = False  # whether the work's author allows it to run again

    @property
    def verdict(self) -> str:
        """Whether the work was tracked, lost or doubled, in words."""
        word = self.status.lower()
        tracked = word.startswith(("succe", "complete", "fail"))
        if self.starts > 1:
            repeated = "run again as allowed" if self.retryable else "doubled"
            return f"tracked, {repeated}" if tracked else f"not tracked, {repeated}"
        return "tracked" if tracked else "lost"


def _kill_first(notes: Notes) -> None:
    """Wait until the work starts, and kill its process in the middle of the work."""
    start = notes.wait_for(1)
    time.sleep(0.2)
    os.kill(start.pid, signal.SIGKILL)


def ours(live: LiveAws, job_type: str, title: str, *, retryable: bool = False) -> Aftermath:
    """Kill the worker of a job, and wait for the job's outcome."""
    notes = Notes(live.folder, f"killed-{job_type}")
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "dispatcher.py"), str(notes.path)],
        env=live.our_environment(),
        input=f"{job_type} {_TAKES}\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    job_id = done.stdout.split()[1]
    _kill_first(notes)
    dynamodb = live.client("dynamodb")

    def outcome() -> Any:
        row = dynamodb.get_item(
            TableName=live.stack.table_name, Key={"id": {"S": job_id}}, ConsistentRead=True
        )["Item"]
        return row if "finished_at" in row else None

    row = wait_for("an outcome", outcome, 150)
    error = json.loads(row["error"]["S"])["kind"] if "error" in row else ""
    status = f"{row['status']['S']}{f': {error}' if error else ''}"
    return Aftermath(title, len(notes.starts()), status, retryable)


def celery(live: LiveAws, task: str, title: str, *, child_alone: bool = False) -> Aftermath:
    """Kill a worker and start another. With `child_alone`, kill only the worker's child process."""
    notes = Notes(live.folder, f"killed-celery-{task}-{child_alone}")
    with live.serving(CELERY, "celery_program") as worker:
        arguments = ("send", task, str(notes.path), str(_TAKES), "work")
        (task_id,) = live.call(CELERY.interpreter, "celery_program", *arguments)
        if child_alone:
            _kill_first(notes)
            time.sleep(_RECOVERY)
        else:
            notes.wait_for(1)
            time.sleep(0.2)
            kill_group(worker)
    if not child_alone:
        with live.serving(CELERY, "celery_program"):
            time.sleep(_RECOVERY)
    (status,) = live.call(CELERY.interpreter, "celery_program", "status", task_id)
    if status == "PENDING":
        status = "PENDING, like a task that was never sent"
    return Aftermath(title, len(notes.starts()), status, retryable=task == LATE)


def dramatiq(live: LiveAws) -> Aftermath:
    """Kill a worker, and start another."""
    notes = Notes(live.folder, "killed-dramatiq")
    with live.serving(DRAMATIQ, "dramatiq_program") as worker:
        arguments = ("send", str(notes.path), str(_TAKES), "work")
        live.call(DRAMATIQ.interpreter, "dramatiq_program", *arguments)
        notes.wait_for(1)
        time.sleep(0.2)
        kill_group(worker)
    with live.serving(DRAMATIQ, "dramatiq_program"):
        time.sleep(_RECOVERY)
    return Aftermath(DRAMATIQ.title, len(notes.starts()), _NO_RECORD)


def zappa(live: LiveAws) -> Aftermath:
    """Kill the function's process. Lambda then delivers the event again."""
    notes = Notes(live.folder, "killed-zappa")
    arguments = ("send", "zappa", str(notes.path), str(_TAKES), "work")
    (task_id,) = live.call(ZAPPA.interpreter, "zappa_program", *arguments)
    _kill_first(notes)
    time.sleep(_RECOVERY)
    found = live.client("dynamodb").get_item(
        TableName="zappa_results", Key={"id": {"S": task_id}}, ConsistentRead=True
    )
    return Aftermath(ZAPPA.title, len(notes.starts()), found["Item"]["async_status"]["S"])


def fastapi(live: LiveAws) -> Aftermath:
    """Kill the function's process while it runs a background task."""
    notes = Notes(live.folder, "killed-fastapi")
    arguments = ("background_event", str(notes.path), str(_TAKES), "work")
    (event,) = live.call(FASTAPI.interpreter, "fastapi_program", *arguments)
    lambda_client = live.client("lambda")

    def invoke() -> None:
        with suppress(Exception):  # the kill makes the call fail
            lambda_client.invoke(FunctionName="fastapi", Payload=event.encode())

    caller = threading.Thread(target=invoke, daemon=True)
    caller.start()
    _kill_first(notes)
    caller.join()
    time.sleep(_TAKES)
    return Aftermath(f"{FASTAPI.title}, BackgroundTasks", len(notes.starts()), _NO_RECORD)


def durable(live: LiveAws) -> Aftermath:
    """Kill the function's process during a step.

    The durable-functions service comes from AWS's testing SDK. The local AWS can't be used: it
    repeats an event with a checkpoint token that it then refuses.
    """
    notes = Notes(live.folder, "killed-durable")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = f"http://127.0.0.1:{port}"
    live.create_function(
        "killed_durable", [DURABLE.packages_folder], AWS_ENDPOINT_URL_LAMBDA=service
    )
    program = "durable_program"
    with live.serving(DURABLE, program, str(port), live.stack.endpoint_url):
        arguments = ("begin", service, "killed_durable", str(notes.path), str(_TAKES))
        (arn,) = live.call(DURABLE.interpreter, program, *arguments)
        _kill_first(notes)
        time.sleep(_RECOVERY)
        (status,) = live.call(DURABLE.interpreter, program, "status", service, arn)
    return Aftermath(f"{DURABLE.title}, a step", len(notes.starts()), status)
