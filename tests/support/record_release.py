"""Records what this version stores and sends, for later versions to be tested with.

    .venv/bin/python tests/support/record_release.py

writes tests/released/VERSION/: every table's items, every object, every kind of message, Lambda's
failure records, and the time at which they were taken. Each job's request_id is the name of what
was done with it. Ids come from a fixed seed, so that the same code writes the same files.

Until CHANGELOG.md has a date for the version, the command may be repeated. With a date, it also
writes the code, and the hashes of all files to tests/released/SHA256SUMS. From then on, a test
refuses any change.
"""

import json
import os
import random
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS.parent)]

from job_runners import __version__, clock, settings  # noqa: E402
from job_runners.aws import bucket  # noqa: E402
from job_runners.engine.control import caller_actions  # noqa: E402
from job_runners.engine.dispatch.dispatch import accept_task  # noqa: E402
from job_runners.engine.lines import pausing  # noqa: E402
from job_runners.engine.running import execution  # noqa: E402
from job_runners.engine.telemetry import telemetry  # noqa: E402
from job_runners.engine.wire.messages import JobMessage, Message, TaskMessage, encode  # noqa: E402
from job_runners.runners import get_job_runner  # noqa: E402
from job_runners.runners.base import JobData  # noqa: E402
from job_runners.store import pauses, queries, transitions  # noqa: E402
from job_runners.store.job_request import JobRequest  # noqa: E402
from job_runners.store.pauses import Kind  # noqa: E402
from job_runners.testing.aws import ENVIRONMENT, WORKER_ARN, process_on_simulated_aws  # noqa: E402
from job_runners.testing.plain_clients import full_client  # noqa: E402
from job_runners.work import context, time_budget  # noqa: E402
from record_limits import (  # noqa: E402
    record_authors,
    record_error_groups,
    record_failed_tasks,
    record_queues,
    record_quota,
    record_traces,
)
from record_unique import (  # noqa: E402
    record_due_schedules,
    record_rerun,
    record_schedules,
    record_unique,
)
from record_waits import (  # noqa: E402
    record_files,
    record_follow_ups,
    record_groups,
    record_invocations,
    record_timer_runs,
    record_waits,
)
from released_code import RELEASED, is_dated, pack, seal, sealed, unreleased_texts  # noqa: E402
from spans import Spans  # noqa: E402
from stored_state import read_objects, read_tables  # noqa: E402

BEGINNING = 1_795_521_600_000  # 24 November 2026, 12:00 UTC
NOISE = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(2000))
WORK = "released_work,released_queues"
# How Lambda describes the end of an invocation that it gave up on, and how often it invoked the
# function.
TIMED_OUT = ("Sandbox.Timedout", "Error: Task timed out after 900.00 seconds")
OUT_OF_MEMORY = ("Runtime.OutOfMemory", "Error: Runtime exited with error: signal: killed")
EXITED = ("Runtime.ExitError", "Error: Runtime exited with error: exit status 1")
TOO_OLD = None  # it was never invoked


class Recorder:
    """A stack of this version on a clock of its own, and what it has sent."""

    beginning, noise = BEGINNING, NOISE

    def __init__(self) -> None:
        self.now = BEGINNING
        self.sent: list[tuple[Message, float]] = []
        self.records: dict[str, Any] = {}

    def send(self, message: Message, delay: float = 0) -> None:
        """Keep a message."""
        self.sent.append((message, delay))

    def dispatch(self, name: str, job_type: str = "released_count", **fields: Any) -> JobRequest:
        """Accept a job; its request_id is the name."""
        token = context.request_id.set(name)
        try:
            return (
                get_job_runner()
                .dispatch_job(JobData(job_type=job_type, **({"organization_id": "acme"} | fields)))
                .row
            )
        finally:
            context.request_id.reset(token)

    def run(self, row: JobRequest, seconds: float = 900) -> JobRequest:
        """Have a worker run the job."""
        deadline = self.now + int(seconds * 1000)
        execution.run(JobMessage.about(row), deadline=deadline, send=self.send)
        return self.read(row)

    def run_invocation(self, row: JobRequest, checkpoints: int = 1) -> JobRequest:
        """Have a worker run the job, and end its invocation at a checkpoint."""
        answers = iter([False] * (checkpoints - 1) + [True])
        with patch.object(time_budget.TimeBudget, "invocation_over", lambda _: next(answers)):
            return self.run(row)

    def claim(
        self, row: JobRequest, seconds: float, ended: tuple[str, str] | None = TIMED_OUT
    ) -> JobRequest:
        """Have a worker claim the job, and stop responding. Lambda's record says how it ended."""
        message = JobMessage.about(row)
        self.records[str(row.request_id)] = self.failure_record(message, ended)
        deadline = self.now + int(seconds * 1000)
        return transitions.claim(
            row.id, job_type=row.job_type, send_id=message.send_id, deadline=deadline
        ).after

    @staticmethod
    @contextmanager
    def setting(name: str, value: str) -> Iterator[None]:
        """Let a setting have this value in this block."""
        with patch.dict(os.environ, {name: value}):
            settings.forget()
            yield
        settings.forget()

    @contextmanager
    def author(self) -> Iterator[None]:
        """Let an operator do what is done in this block."""
        token = context.author.set(context.Author("operator", "ada"))
        try:
            yield
        finally:
            context.author.reset(token)

    def read(self, row: JobRequest) -> JobRequest:
        """Return the row as it is now."""
        found = queries.read(row.id)
        assert found is not None
        return found

    @staticmethod
    def failure_record(
        message: Message, ended: tuple[str, str] | None = TIMED_OUT
    ) -> dict[str, Any]:
        """Return what Lambda writes about a message that it gave up on."""
        record = {
            "version": "1.0",
            "timestamp": "2026-11-24T12:15:03.123Z",
            "requestContext": {
                "requestId": "e4b46cbf-b738-4b3e-a0ab-4a1f2f1c0f6d",
                "functionArn": WORKER_ARN,
                "condition": "RetriesExhausted" if ended else "EventAgeExceeded",
                "approximateInvokeCount": 1 if ended else 0,
            },
            "requestPayload": json.loads(encode(message)),
        }
        if ended is None:
            return record
        error_type, text = ended
        return record | {
            "responseContext": {
                "statusCode": 200, "executedVersion": "7", "functionError": "Unhandled"
            },
            "responsePayload": {"errorType": error_type, "errorMessage": f"RequestId: e4b4 {text}"},
        }  # fmt: skip


def record_engine(this: Recorder) -> None:
    """Rows of every status, as they come to be."""
    this.dispatch("queued", payload={"to": 2})
    this.dispatch("queued_large", payload={"to": 2, "ballast": NOISE})
    this.dispatch("queued_once", "released_once")
    this.dispatch("idempotent", payload={"to": 1}, idempotency_key="spring 2026")
    this.dispatch("scheduled", "released_once", delay=3600)
    this.dispatch("scheduled_soon", delay=600, max_attempts=2, payload={"to": 1})
    this.run_invocation(this.dispatch("between_invocations", payload={"to": 3, "ballast": NOISE}))
    this.dispatch("other_organization", organization_id="zenith")

    this.claim(this.dispatch("running"), 600)
    this.claim(this.dispatch("running_once", "released_once"), 600)
    this.claim(this.dispatch("running_record", payload={"to": 1}), 600)
    this.claim(this.dispatch("running_record_once", "released_once"), 600)
    caller_actions.cancel(this.claim(this.dispatch("running_canceled"), 600))
    stopped = this.claim(this.dispatch("stopped", payload={"to": 1}), 600)
    caller_actions.cancel(stopped)
    transitions.release(stopped)  # cancels it
    this.claim(this.dispatch("killed_by_memory", payload={"to": 1}), 600, OUT_OF_MEMORY)
    this.claim(this.dispatch("killed_by_exit", "released_once"), 600, EXITED)
    never_invoked = this.dispatch("never_invoked", payload={"to": 1})
    this.records["never_invoked"] = this.failure_record(JobMessage.about(never_invoked), TOO_OLD)

    error = {"kind": "Interrupted", "message": "Its worker is gone.", "traceback": ""}
    rescued = this.claim(this.dispatch("rescued"), 600)
    transitions.retry(rescued, error, run_at=this.now, due_at=this.now)
    this.run(this.dispatch("retryable", payload={"to": 2, "breaks": True}))
    this.run(this.dispatch("succeeded", payload={"to": 2}))
    this.run(this.dispatch("succeeded_large", "released_once", payload={"result_size": 40_000}))
    failing = {"fails": True}
    this.run(this.dispatch("failed", "released_once", payload=failing))
    this.run(this.dispatch("failed_large", payload={"fails": True, "ballast": NOISE}))
    caller_actions.cancel(this.dispatch("canceled"))
    again = this.run(this.dispatch("requeued", payload=failing))
    caller_actions.retry_again(again, this.send, {"to": 2})


def record_pauses(this: Recorder) -> None:
    """Jobs that a pause has held, and some that have just been admitted."""
    with this.author():
        pausing.pause(Kind.JOB_TYPE, "released_once")
        pause = pausing.pause(Kind.QUEUE, "released_queue")
    this.run(this.dispatch("waiting_queue", "released_paused"))
    pausing.hold_under_pause(pause, this.claim(this.dispatch("held", "released_paused"), 600))
    this.run(this.dispatch("waiting_type", "released_once"))
    caller_actions.cancel(this.run(this.dispatch("waiting_canceled", "released_once")))
    pausing.pause(Kind.QUEUE, "resumed")
    this.run(this.dispatch("waiting_resumed", queue_name="resumed", payload={"to": 1}))
    pauses.resume(Kind.QUEUE, "resumed")


def record_tasks(this: Recorder) -> None:
    """Send a task, and its second attempt after Lambda has given up on the first."""
    token = context.request_id.set("task")
    this.send(accept_task("released_note", {"to": 1}))
    context.request_id.reset(token)
    for number, ended in ((2, TIMED_OUT), (3, EXITED), (4, TOO_OLD)):
        first = TaskMessage(id=f"{number:032}", name="released_note", payload={"to": 1})
        this.records[f"task {number}"] = this.failure_record(first, ended)
    this.send(first.next_attempt(), 30)


def record(this: Recorder) -> dict[str, Any]:
    """Return all there is to record, file by file."""
    record_timer_runs(this)
    record_due_schedules(this)
    record_engine(this)
    record_pauses(this)
    record_files(this)
    record_queues(this)
    record_quota(this)
    record_authors(this)
    record_traces(this)
    record_failed_tasks(this)
    record_unique(this)
    record_rerun(this)
    record_schedules(this)
    record_follow_ups(this)
    record_waits(this)
    record_invocations(this)
    record_groups(this)
    record_error_groups(this)
    record_tasks(this)
    return {
        "time": this.now,
        "tables": read_tables(full_client("dynamodb"), ENVIRONMENT),
        "objects": read_objects(full_client("s3"), bucket.name()),
        "messages": [
            {"body": encode(message).decode(), "delay": delay} for message, delay in this.sent
        ],
        "failure_records": this.records,
    }


@contextmanager
def stack(now: Callable[[], int]) -> Iterator[None]:
    """Tables and bucket on moto, jobs only saved, on the given clock."""
    environment = {
        "JOBS_PACKAGES": WORK,
        "JOBS_SAME_PROCESS": "false",
        "KEEP_TASK_PAYLOADS": "true",
        "PUBLIC_URL": "https://jobs.example.org",
    }
    with process_on_simulated_aws(environment), patch.object(clock, "now", now):
        yield


@contextmanager
def repeatable() -> Iterator[None]:
    """Take ids from a fixed seed, and call AWS in one thread."""
    source = random.Random(0)
    with ExitStack() as patches:
        for name, replacement in {
            "uuid.uuid4": lambda: uuid.UUID(int=source.getrandbits(128), version=4),
            "secrets.token_hex": lambda count: source.randbytes(count).hex(),
            "secrets.randbits": source.getrandbits,
            "job_runners.work.retry._RANDOM": source,
            "job_runners.engine.dispatch.bulk.THREADS": 1,
            "job_runners.engine.settling.group_ends._THREADS": 1,
        }.items():
            patches.enter_context(patch(name, replacement))
        yield


def record_to(folder: Path) -> None:
    """Record what this version stores and sends into a new folder."""
    folder.mkdir()
    this = Recorder()
    Spans()  # sets OpenTelemetry up in this process, which takes an id
    with stack(lambda: this.now), repeatable():
        for name, content in record(this).items():
            text = json.dumps(content, indent=1, ensure_ascii=False)
            text = text.replace(str(TESTS.parent), "/var/task")  # in tracebacks
            (folder / f"{name}.json").write_text(text + "\n")


def main(*folder: str) -> None:
    """Record this version, or, with a folder, only what it stores and sends."""
    if folder:
        record_to(Path(folder[0]))
        return
    if __version__ in sealed():
        sys.exit(
            f"{__version__} is released, so tests/released/{__version__} never changes. Begin the "
            "next version, as docs/contributing/releasing.md describes. If you haven't pushed the "
            "release yet, you may delete this folder and its lines in tests/released/SHA256SUMS, "
            "and run this command again."
        )
    if is_dated(__version__) and (texts := unreleased_texts()):
        lines = "\n".join(texts)
        sys.exit(
            f"Nothing is recorded, because these lines call {__version__} unreleased:\n{lines}"
        )
    release = RELEASED / __version__
    shutil.rmtree(release, ignore_errors=True)
    record_to(release)
    if is_dated(__version__):
        pack(TESTS.parent, release)
        seal(release)


if __name__ == "__main__":
    telemetry.logger.setLevel("CRITICAL")
    main(*sys.argv[1:])
