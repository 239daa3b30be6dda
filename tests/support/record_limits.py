"""What record_release.py records of queues, a quota, authors, traces, and failures."""

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from job_runners import clock
from job_runners.engine import configured
from job_runners.engine.control import caller_actions, changing_limits, redriving
from job_runners.engine.dispatch.dispatch import accept_task
from job_runners.engine.running import execution
from job_runners.engine.running.claiming import Invocation, claim
from job_runners.engine.telemetry import tracing
from job_runners.engine.wire.messages import JobMessage, QueueMessage, TaskMessage
from job_runners.store import error_groups
from job_runners.store.job_request import JobRequest
from job_runners.work import Rate, context

if TYPE_CHECKING:
    from record_release import Recorder

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def record_queues(this: "Recorder") -> None:
    """Record what queues with limits store.

    These are rows that hold a slot, wait in a line, were admitted, are between two invocations or
    two turns; slots and entries; limits that were changed; a wake-up that is on its way.
    """
    line: dict[str, Any] = {"job_type": "released_line", "payload": {"to": 1}}
    _claim_in_line(this, this.dispatch("line_running", **line))
    this.run(this.dispatch("line_waiting", **line))
    caller_actions.cancel(this.run(this.dispatch("line_canceled", **line)))
    wake_up = QueueMessage("released_line", "*", request_id="line_canceled")
    this.records["queue"] = this.failure_record(wake_up)
    this.send(wake_up)

    fair: dict[str, Any] = {"job_type": "released_fair", "payload": {"to": 1}}
    _claim_in_line(this, this.dispatch("fair_running", **fair))
    this.run(this.dispatch("fair_admitted", **fair))
    this.now += clock.SECOND  # who waits longer is admitted first
    this.run(this.dispatch("fair_waiting", **fair))
    changing_limits.set_limits("released_fair", slots=2, rate=None, max_waiting=100, send=this.send)
    paces: dict[str, Any] = {"slots": None, "max_waiting": None, "send": this.send}
    with this.author():
        changing_limits.set_limits("quick", rate=Rate(5, seconds=1, burst=2), **paces)

    this.run_invocation(
        this.dispatch("invocations_in_line", queue_name="released_invocations", payload={"to": 3})
    )
    this.run(this.dispatch("in_turns", "released_turns", payload={"to": 2}))
    this.run(this.dispatch("paced", "released_turns", payload={"to": 0}))


def record_quota(this: "Recorder") -> None:
    """Rows that a quota counts."""
    with this.setting("MAX_UNFINISHED_JOBS", "1000"):
        this.dispatch("counted", payload={"to": 1})
        this.dispatch("counted_scheduled", delay=600, payload={"to": 1})
        batch = this.dispatch("counted_canceled")
        batch.update([JobRequest.batch_total.set(2)])  # as a batch of two members has it
        caller_actions.cancel(batch)


def record_authors(this: "Recorder") -> None:
    """Record jobs that say who dispatched, canceled and retried them."""
    with this.author():
        caller_actions.cancel(this.dispatch("by_ada", payload={"to": 1}))
        again = this.dispatch("again_by_ada", payload={"to": 1})
        caller_actions.cancel(again)
        caller_actions.retry_again(this.read(again), this.send)


def record_traces(this: "Recorder") -> None:
    """Save a row, and send messages, with a traceparent."""
    with (
        this.setting("TRACES", "true"),
        tracing.request({"traceparent": TRACEPARENT}, verified=True),
    ):
        row = this.dispatch("traced", payload={"to": 1})
        this.send(JobMessage.about(row)._replace(traceparent=row.traceparent))
        this.send(accept_task("released_note", {"to": 7}))


def record_failed_tasks(this: "Recorder") -> None:
    """Failed tasks with what they were given. One was sent again, and another has begun again."""
    failed = []
    token = context.request_id.set("failed_tasks")
    try:
        for number in range(3):
            message = accept_task("released_failing", {"to": number})
            deadline = this.now + 900_000
            execution.run(message, deadline=deadline, send=this.send)
            failed.append(message.id)
    finally:
        context.request_id.reset(token)
    with patch.object(configured, "sender", lambda: this.send):
        again: TaskMessage = redriving.redrive(failed[0])
        assert again.redrives == failed[0]
        assert redriving.claim_task(redriving.redrive(failed[2]))
    this.sent.pop()  # a worker has it


def record_error_groups(this: "Recorder") -> None:
    """Error groups: one is resolved, and one has failed again since it was."""
    failing_again, resolved, *_ = error_groups.of_organization("acme").groups
    for group in (failing_again, resolved):
        changes = {"note": "A known bug", "resolved": True}
        assert error_groups.change(group, changes, by="operator:ada")
    found = error_groups.find("acme", failing_again.id)
    assert found is not None
    assert error_groups.mark_regressed(found)


def _claim_in_line(this: "Recorder", row: JobRequest) -> None:
    """Have a worker claim the job, with a slot of its queue, and stand still."""
    invocation = Invocation(clock.now(), clock.now() + 600_000)
    assert claim(JobMessage.about(row), invocation, this.send) is not None
