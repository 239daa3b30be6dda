"""Records what this version stores and sends, for later versions to be tested with.

    .venv/bin/python tests/support/record_release.py 0.3.0

writes tests/released/0.3.0/: every table's items, every object, every kind of message, the time at
which they were taken, and the code itself. Each job's request_id is the name of what was done with
it. A release that is there already is not overwritten: it does not change any more, and a test
compares it with the hashes in tests/released/SHA256SUMS.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS.parent)]

import moto_uploads  # noqa: E402
from job_runners import clock  # noqa: E402
from job_runners.aws import bucket  # noqa: E402
from job_runners.building.app_check import SHIPPED  # noqa: E402
from job_runners.engine.control import caller_actions, signaling  # noqa: E402
from job_runners.engine.dispatch.dispatch import accept_task  # noqa: E402
from job_runners.engine.groups import progress  # noqa: E402
from job_runners.engine.lines import pausing  # noqa: E402
from job_runners.engine.running import execution  # noqa: E402
from job_runners.engine.telemetry import telemetry  # noqa: E402
from job_runners.engine.wire.messages import JobMessage, Message, TaskMessage, encode  # noqa: E402
from job_runners.runners import get_job_runner  # noqa: E402
from job_runners.runners.base import JobData  # noqa: E402
from job_runners.settings import settings  # noqa: E402
from job_runners.store import groups, pauses, queries, transitions  # noqa: E402
from job_runners.store.job_request import JobRequest, Lane  # noqa: E402
from job_runners.store.pauses import Kind  # noqa: E402
from job_runners.store.transitions import group_waits  # noqa: E402
from job_runners.testing.aws import ENVIRONMENT, WORKER_ARN, process_on_simulated_aws  # noqa: E402
from job_runners.testing.plain_clients import full_client  # noqa: E402
from job_runners.work import context, time_budget  # noqa: E402
from record_limits import (  # noqa: E402
    record_authors,
    record_failed_tasks,
    record_queues,
    record_quota,
    record_traces,
)
from record_unique import record_rerun, record_schedules, record_unique  # noqa: E402
from released_code import RELEASED, pack, seal  # noqa: E402
from stored_state import read_objects, read_tables  # noqa: E402

BEGINNING = 1_795_521_600_000  # 24 November 2026, 12:00 UTC
NOISE = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(2000))
WORK = "released_work,released_queues"


class Recorder:
    """A stack of this version on a clock of its own, and what it has sent."""

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

    def claim(self, row: JobRequest, seconds: float) -> JobRequest:
        """Have a worker claim the job, and stand still."""
        message = JobMessage.about(row)
        self.records[str(row.request_id)] = self.failure_record(message)
        deadline = self.now + int(seconds * 1000)
        return transitions.claim(
            row.id, job_type=row.job_type, send_id=message.send_id, deadline=deadline
        ).after

    def read(self, row: JobRequest) -> JobRequest:
        """Return the row as it is now."""
        found = queries.read(row.id)
        assert found is not None
        return found

    @staticmethod
    def failure_record(message: Message) -> dict[str, Any]:
        """Return what Lambda writes of a message whose invocation was killed."""
        return {
            "version": "1.0",
            "timestamp": "2026-11-24T12:15:03.123Z",
            "requestContext": {
                "requestId": "e4b46cbf-b738-4b3e-a0ab-4a1f2f1c0f6d",
                "functionArn": WORKER_ARN,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 1,
            },
            "requestPayload": json.loads(encode(message)),
            "responseContext": {
                "statusCode": 200, "executedVersion": "7", "functionError": "Unhandled"
            },
            "responsePayload": {
                "errorType": "Sandbox.Timedout",
                "errorMessage": "RequestId: e4b4 Error: Task timed out after 900.00 seconds",
            },
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
    for kind, name in ((Kind.QUEUE, "released_queue"), (Kind.JOB_TYPE, "released_once")):
        pausing.pause(kind, name)
    this.run(this.dispatch("waiting_queue", "released_paused"))
    this.run(this.dispatch("waiting_type", "released_once"))
    caller_actions.cancel(this.run(this.dispatch("waiting_canceled", "released_once")))
    pausing.pause(Kind.QUEUE, "resumed")
    this.run(this.dispatch("waiting_resumed", queue_name="resumed", payload={"to": 1}))
    pauses.resume(Kind.QUEUE, "resumed")


def record_follow_ups_and_waits(this: Recorder) -> None:
    """Record ends with follow-ups and an announcement, and jobs that sleep or wait for a signal."""
    follow_ups = {"on_end": "released_told", "on_failure": "released_told"}
    this.run(this.dispatch("followed_up", "released_child", payload={"to": 1}, **follow_ups))
    webhook = {"webhook": "https://hooks.example.com", "secret": "acme/main"}
    with patch.dict(os.environ, EVENT_BUS_NAME="outcomes"):
        settings.cache_clear()
        announced = this.dispatch("announced", "released_child", payload={"to": 1}, on_end=webhook)
    settings.cache_clear()
    this.run(announced)
    this.run(this.dispatch("sleeping", "released_sleeper"))
    this.run(this.dispatch("waiting_signal", "released_waiter"))
    signaled = this.run(this.dispatch("signaled", "released_waiter"))
    signaling.signal(signaled, "approval", NOISE, this.send)


def record_groups(this: Recorder) -> None:
    """Record a job whose member was retried while it waits, and one whose group has ended."""
    waiting = this.run(this.dispatch("gathering", "released_gatherer"))
    first, _ = members_of(this, waiting)
    caller_actions.retry_again(caller_actions.cancel(first, this.send), this.send)
    gathered = this.run(this.dispatch("gathered", "released_gatherer"))
    for member in members_of(this, gathered):
        this.run(member)
    with patch("job_runners.store.group_chunks.SIZE", 1):  # so that the group is large
        counted = this.run(this.dispatch("group_canceled", "released_gatherer"))
        counts = progress.actions_that_store_counts(counted)
        counted = transitions.postpone(counted, counted.due_at or 0, Lane.WAITS, counts).after
        group_waits.cancel_members(counted, by=None)


def members_of(this: Recorder, row: JobRequest) -> list[JobRequest]:
    """Return the members of a job of the type released_gatherer."""
    group = groups.new_group(row, "both", is_large=False)
    ids = map(group.member_id, ("000000", "000001"))
    return [found for each in ids if (found := queries.read(each)) is not None]


def record_built_in(this: Recorder) -> None:
    """Record a built-in job, and an upload."""
    bucket.put_bytes("uploads/acme/orders.csv", b"first,second")
    event = {"body": {"type": "order.shipped"}, "secret": "acme/main", "event_id": "evt_1"}
    webhook = {"url": "https://example.org/hook", **event}
    # Late, because a replay has no secret, and would try it for three days.
    this.dispatch("post_webhook", "post_webhook", payload=webhook, delay=20 * 86_400)


def record(this: Recorder) -> dict[str, Any]:
    """All there is to record, file by file."""
    record_engine(this)
    record_pauses(this)
    record_built_in(this)
    record_queues(this)
    record_quota(this)
    record_authors(this)
    record_traces(this)
    record_failed_tasks(this)
    record_unique(this)
    record_rerun(this)
    record_schedules(this)
    record_follow_ups_and_waits(this)
    record_groups(this)
    this.send(accept_task("released_note", {"to": 1}))
    first = TaskMessage(id="0" * 31 + "2", name="released_note", payload={"to": 1})
    this.records["task"] = this.failure_record(first)
    this.send(first.next_attempt(), 30)
    return {
        "time": this.now,
        "tables": read_tables(full_client("dynamodb"), ENVIRONMENT),
        "objects": read_objects(full_client("s3"), bucket.name()),
        "uploads": moto_uploads.read(bucket.name()),
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
    }
    with process_on_simulated_aws(environment), patch.object(clock, "now", now):
        yield


def main() -> None:
    """Record the version that the command line names."""
    telemetry.logger.setLevel("CRITICAL")
    record_to(RELEASED / sys.argv[1])


def record_to(folder: Path) -> None:
    """Record this version into a new folder."""
    folder.mkdir()
    this = Recorder()
    with stack(lambda: this.now):
        for name, content in record(this).items():
            text = json.dumps(content, indent=1, ensure_ascii=False)
            text = text.replace(str(TESTS.parent), "/var/task")  # in tracebacks
            (folder / f"{name}.json").write_text(text + "\n")
    pack(TESTS.parent, SHIPPED, folder)
    seal(folder)


if __name__ == "__main__":
    main()
