"""Show jobs to callers. Each constant such as SUMMARY maps a field's name to its JSON schema and
to the function that reads its value.

Attributes that none of these functions reads, such as tokens, leases and cursors, are never shown.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from job_runners import clock
from job_runners.api import access, responses
from job_runners.api.file_urls import add_urls
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    STATUS,
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    nullable,
    object_of,
    properties,
    ref,
    time_of,
    values,
)
from job_runners.api.shown import AUTHOR, author, if_payloads_are_seen
from job_runners.api.wait_views import WAITS_FOR, waits_for
from job_runners.engine.registry.registry import class_of_job, class_of_task, registry
from job_runners.engine.wire.sending import Accepted
from job_runners.errors import JobRunnersError, MissingObject
from job_runners.store import blobs
from job_runners.store.earlier_errors import MAX_KEPT
from job_runners.store.job_request import JobRequest, Status
from job_runners.work import context

if TYPE_CHECKING:
    from job_runners.store.children import Child
    from job_runners.store.failed_tasks import FailedTask

_LONGEST_WAIT = 60  # seconds


class _WholeJob(NamedTuple):
    """A job with its payload and result, as far as the caller may see them."""

    row: JobRequest
    payload: Any
    result: Any
    notes: list[str]


def summary(row: JobRequest) -> dict[str, Any]:
    """Return the view of a job without its payload, result and traceback, which may be large or in
    the bucket."""
    return values(SUMMARY, row)


def whole(row: JobRequest) -> dict[str, Any]:
    """Return the view of a job with all fields. Files in its result get a URL. A field that can't
    be shown is null, and `notes` says why."""
    job = _with_contents(row)
    shown = summary(row) | values(WHOLE, job)
    return shown | {"error": row.error} if access.current_caller.get().sees_tracebacks else shown


def child(dispatched: "Child") -> dict[str, Any]:
    """Return the view of a job that another job has dispatched. The job is null if it was
    deleted."""
    return values(CHILD, dispatched)


def failed_task(record: "FailedTask") -> dict[str, Any]:
    """Return the view of a task that failed permanently."""
    return values(FAILED_TASK, record)


def accepted(answer: Accepted, jobs_path: str) -> responses.Response:
    """Return the response to a dispatch: the new job, the job of an earlier identical request, or
    an existing job that does the same work."""
    row = answer.row
    headers = {"Location": f"{jobs_path}/{row.id}"}
    if answer.duplicate is not None:
        headers["Unique-Outcome"] = str(answer.duplicate.outcome)
    if is_repeated(answer):
        headers["Idempotent-Replayed"] = "true"
    return responses.respond(202, summary(row), headers | retry_after(row))


def is_repeated(answer: Accepted) -> bool:
    """Return whether an earlier identical request was answered with this job."""
    if answer.duplicate is not None:
        return answer.duplicate.before
    return answer.row.request_id != context.request_id.get()


def retry_after(row: JobRequest) -> dict[str, str]:
    """Return the Retry-After header of a job: a tenth of its age or the time until it may start,
    whichever is longer, from 1 to 60 seconds. Return no header for a finished job."""
    if row.status.finished:
        return {}
    age = (clock.now() - row.created_at) // clock.SECOND
    starts_in = ((row.run_at or 0) - clock.now()) // clock.SECOND if row.status.timed else 0
    return {"Retry-After": str(max(1, min(_LONGEST_WAIT, max(age // 10, starts_in))))}


def _with_contents(row: JobRequest) -> _WholeJob:
    """Return a job with its payload and result, if they fit into a response."""
    if not access.current_caller.get().sees_payloads:
        notes = ["Viewers don't see the payload and the result."]
        if row.unique_key is not None:
            notes.append("Viewers don't see the unique_key.")
        return _WholeJob(row, None, None, notes)
    notes = []
    result, size = _read_if_it_fits(
        "result",
        lambda: add_urls(blobs.get(row.result, row.result_key), row.organization_id),
        responses.ROOM,
        notes,
    )
    payload, _ = _read_if_it_fits(
        "payload", lambda: blobs.get(row.payload, row.payload_key), responses.ROOM - size, notes
    )
    has_yet_to_start = not (row.status.finished or row.status is Status.RUNNING)
    if has_yet_to_start and payload is not None:
        notes += _why_not_started(row, payload)
    return _WholeJob(row, payload, result, notes)


def _why_not_started(row: JobRequest, payload: Any) -> list[str]:
    """Return a note if workers with this version of the code leave the job to another version.
    Otherwise return an empty list."""
    try:
        registry().job_payload(row.job_type, payload)
    except JobRunnersError as error:
        return [f"Workers with this version of the code can't start the job. {error}"]
    except Exception:  # noqa: BLE001 - a custom validator failed: the job will start, and fail
        return []
    return []


def _read_if_it_fits(
    name: str, read: Callable[[], Any], room: int, notes: list[str]
) -> tuple[Any, int]:
    """Return a stored value and its size. If it is gone or doesn't fit into a response, add a note
    and return None."""
    try:
        value = read()
        size = responses.size(value)
    except MissingObject:
        notes.append(f"The {name} was deleted from the bucket.")
    except RecursionError:
        notes.append(f"The {name} is nested too deeply to show.")
    else:
        if size <= room:
            return value, size
        notes.append(f"The {name} is too large to show.")
    return None, 0


def without_traceback(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an error without its traceback."""
    return error and {name: error.get(name) for name in ("kind", "message")}


def _follow_up_type(row: JobRequest, kind: str) -> str | None:
    """Return the job type of a job's follow-up, if it has one."""
    if not row.has_follow_ups:
        return None
    from job_runners.store import follow_ups  # imported here because most jobs have none

    return follow_ups.job_types_of(row).get(kind)


def _follow_ups(row: JobRequest) -> list[dict[str, str]]:
    """Return the follow-ups that were dispatched when the job last ended."""
    if row.follow_ups_saved_at is None:
        return []
    from job_runners.store import follow_ups

    types = follow_ups.job_types_of(row)
    return [
        {"kind": kind, "job_type": types[kind], "id": job_id}
        for kind, job_id in follow_ups.saved_by(row).items()
    ]


def _reason_to_wait(row: JobRequest) -> dict[str, Any] | None:
    """Return the reason why a job waits, or None if it doesn't wait."""
    return waits_for(row) if row.held_by or row.current_wait else None


def _if_tracebacks_are_seen(value: str | None) -> str | None:
    return value if access.current_caller.get().sees_tracebacks else None


WORKER: Schema = {
    **nullable(TEXT),
    "description": "The worker class that runs it. Null is the default worker",
}
ERROR: Schema = {
    "type": ["object", "null"],
    "properties": {"kind": nullable(TEXT), "message": nullable(TEXT)},
    "required": ["kind", "message"],
    "description": "The error of the last attempt. GET /jobs/{job_id} also has its traceback, and "
    "the `module` of its class unless that is a class of Python or of Job Runners",
}

SUMMARY: Fields[JobRequest] = {
    "id": Field(ID),
    "job_type": Field(TEXT),
    "status": Field(STATUS, lambda row: str(row.status)),
    "cancel_requested": Field(
        {"type": "boolean"}, lambda row: bool(row.cancel_requested or row.cancel_members)
    ),
    "progress": Field({"type": "number", "minimum": 0, "maximum": 100}),
    "result_message": Field(nullable(TEXT)),
    "error": Field(ERROR, lambda row: without_traceback(row.error)),
    "organization_id": Field(TEXT),
    "queue_name": Field(TEXT),
    "concurrency_key": Field(
        {
            **nullable(TEXT),
            "description": "Its key in a queue that has limits. Null for viewers, because it may "
            "be a payload's value",
        },
        lambda row: if_payloads_are_seen(row.concurrency_key),
    ),
    "attempt": Field(NUMBER),
    "max_attempts": Field(NUMBER),
    "invocations": Field({**NUMBER, "description": "Lambda invocations so far"}),
    "created_at": Field(TIME),
    "queued_at": Field(nullable(TIME)),
    "run_at": Field(nullable(TIME)),
    "waiting_since": Field(nullable(TIME)),
    "waits_for": Field(WAITS_FOR, _reason_to_wait),
    "attempt_started_at": Field(nullable(TIME)),
    "started_at": Field(nullable(TIME)),
    "finished_at": Field(nullable(TIME)),
    "updated_at": Field(nullable(TIME)),
    "expires_at": Field(
        nullable(TIME), lambda row: time_of(row.expires_at and row.expires_at * clock.SECOND)
    ),
    "request_id": Field(nullable(TEXT)),
    "created_by": Field(AUTHOR, lambda row: author(row.created_by)),
    "requeued_by": Field(
        {**AUTHOR, "description": "The caller that retried the job last"},
        lambda row: author(row.requeued_by),
    ),
    "canceled_by": Field(
        {**AUTHOR, "description": "The caller that canceled the job"},
        lambda row: author(row.canceled_by),
    ),
    "parent_id": Field({**nullable(ID), "description": "The job that dispatched this one"}),
    "group": Field(
        {**nullable(TEXT), "description": "The parent's group that this job is in"},
        lambda row: row.group_of,
    ),
    "follow_up_of": Field({**nullable(ID), "description": "The job whose end dispatched this one"}),
    "on_end": Field(
        {
            **nullable(TEXT),
            "description": "The job type that is dispatched when the job ends. "
            "It is `announce` if a webhook is called",
        },
        lambda row: _follow_up_type(row, "on_end"),
    ),
    "on_failure": Field(
        {
            **nullable(TEXT),
            "description": "The job type that is dispatched when the job fails. "
            "It is `announce` if a webhook is called",
        },
        lambda row: _follow_up_type(row, "on_failure"),
    ),
}

# The error of an attempt that was retried.
_EARLIER: Fields[dict[str, Any]] = {
    "attempt": Field(NUMBER, lambda error: error.get("attempt")),
    "at": Field(TIME, lambda error: time_of(error.get("at"))),
    "kind": Field(TEXT, lambda error: error.get("kind")),
    "message": Field(TEXT, lambda error: error.get("message")),
    "module": Field(
        {
            **nullable(TEXT),
            "description": "The module of its class. Null for classes of Python and of Job "
            "Runners, and for callers who don't see tracebacks",
        },
        lambda error: _if_tracebacks_are_seen(error.get("module")),
    ),
}

# The fields of a whole job that its summary leaves out.
WHOLE: Fields[_WholeJob] = {
    "earlier_errors": Field(
        {
            "type": "array",
            "items": object_of(properties(_EARLIER)),
            "maxItems": MAX_KEPT,
            "description": "Shortened errors of the last attempts that were retried, oldest "
            "first. After a manual retry, attempts count from 1 again",
        },
        lambda job: [values(_EARLIER, each) for each in job.row.earlier_errors or []],
    ),
    "follow_ups": Field(
        {
            "type": "array",
            "items": object_of(
                {
                    "kind": {"type": "string", "enum": ["on_end", "on_failure", "announcement"]},
                    "job_type": TEXT,
                    "id": ID,
                }
            ),
            "maxItems": 2,
            "description": "The follow-ups that were dispatched when the job last ended. They may "
            "have been deleted since",
        },
        lambda job: _follow_ups(job.row),
    ),
    "unique_key": Field(
        {
            **nullable(TEXT),
            "description": "The key of its unique work. While the job holds the key, no other job "
            "of its type can have it. A job that waits for another job gets the key when that job "
            "ends. Null for viewers, because they could guess payloads from this hash",
        },
        lambda job: if_payloads_are_seen(job.row.unique_key),
    ),
    "worker": Field(WORKER, lambda job: class_of_job(job.row.job_type)),
    "payload": Field({"type": ["object", "null"]}),
    "result": Field({"description": "Any JSON. Each `file` has a `url` that works for 5 minutes"}),
    "notes": Field(
        {
            "type": "array",
            "items": TEXT,
            "description": "Reasons why fields aren't shown or the job can't start",
        }
    ),
}

FAILED_TASK: "Fields[FailedTask]" = {
    "id": Field({**ID, "description": "The id in its log lines"}),
    "task_name": Field(TEXT),
    "worker": Field(WORKER, lambda record: class_of_task(record.task_name)),
    "failed_at": Field(TIME),
    "attempt": Field(NUMBER),
    "error": Field(
        object_of({"kind": TEXT, "message": TEXT}),
        lambda record: {"kind": record.error_kind, "message": record.error_message},
    ),
    "request_id": Field(nullable(TEXT)),
    "payload": Field(
        {"type": ["object", "null"], "description": "Null unless the stack keeps it"},
        lambda record: None if record.payload is None else json.loads(record.payload),
    ),
    "redriven_at": Field(
        {
            **nullable(TIME),
            "description": "When it was last resent. Once that starts, it isn't listed",
        }
    ),
    "redriven_as": Field({**nullable(ID), "description": "The id under which it was resent"}),
}

CHILD: "Fields[Child]" = {
    "key": Field(
        {
            **nullable(TEXT),
            "description": "Its key among the children of its parent. Null for viewers",
        },
        lambda child: if_payloads_are_seen(child.key),
    ),
    "group": Field(
        {**nullable(TEXT), "description": "The group that it is in; its key is unique there"}
    ),
    "id": Field(ID),
    "job": Field(
        {
            "anyOf": [ref("JobSummary"), {"type": "null"}],
            "description": "Null if the job was deleted, or if another job does the same work",
        },
        lambda child: child.row and summary(child.row),
    ),
}
