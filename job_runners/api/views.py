"""Show jobs to callers.

A row is a job as the table stores it. A view is the JSON object that the API returns for it.
Constants such as SUMMARY list the fields of a view. All other fields of a row are internal, and
never leave the API.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from job_runners import clock
from job_runners.api import access, responses
from job_runners.api.access import visible_author, visible_code, visible_payload_value
from job_runners.api.file_urls import add_urls
from job_runners.api.json_schema import (
    AUTHOR,
    ID,
    NUMBER,
    STATUS,
    TEXT,
    TIME,
    Field,
    Fields,
    Schema,
    build_view,
    nullable,
    object_of,
    properties,
    ref,
    time_of,
)
from job_runners.api.wait_views import WAITS_FOR, wait_view
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

_MAX_RETRY_AFTER = 60  # seconds


class _WholeJob(NamedTuple):
    """A job with its payload and its result. Each is None if it can't be shown."""

    row: JobRequest
    payload: Any
    result: Any
    notes: list[str]  # the reasons why fields aren't shown or the job can't start


def summary_view(row: JobRequest) -> dict[str, Any]:
    """Return the view of a job without its payload, result and traceback. They are left out because
    they may be large, or stored in the bucket."""
    return build_view(SUMMARY, row)


def full_view(row: JobRequest) -> dict[str, Any]:
    """Return the view of a job with all fields. Files in its result get a URL. A field that can't
    be shown is null, and `notes` says why."""
    job = _read_contents(row)
    view = summary_view(row) | build_view(WHOLE, job)
    if access.current_caller.get().sees_tracebacks:
        view["error"] = row.error
    return view


def child_view(child: "Child") -> dict[str, Any]:
    """Return the view of a child, which is a job that another job has dispatched. Its `job` is null
    if the job was deleted."""
    return build_view(CHILD, child)


def failed_task_view(record: "FailedTask") -> dict[str, Any]:
    """Return the view of a task that failed permanently."""
    return build_view(FAILED_TASK, record)


def accepted_response(accepted: Accepted, jobs_path: str) -> responses.Response:
    """Return the response to a dispatch: the new job, the job of an earlier identical request, or
    an existing job that does the same work."""
    headers = accepted_headers(accepted, jobs_path)
    return responses.respond(202, summary_view(accepted.row), headers)


def accepted_headers(accepted: Accepted, path: str) -> dict[str, str]:
    """Return the headers of the response to a dispatch. `path` is the path of all jobs or of all
    batches."""
    headers = {"Location": f"{path}/{accepted.row.id}", **retry_after_header(accepted.row)}
    if accepted.duplicate is not None:
        headers["Unique-Outcome"] = str(accepted.duplicate.outcome)
    if is_repeated(accepted):
        headers["Idempotent-Replayed"] = "true"
    return headers


def is_repeated(accepted: Accepted) -> bool:
    """Return whether an earlier identical request has already returned this job."""
    if accepted.duplicate is not None:
        return accepted.duplicate.is_repeated
    return accepted.row.request_id != context.request_id.get()


def retry_after_header(row: JobRequest) -> dict[str, str]:
    """Return the Retry-After header of a job, or no header for a finished job.

    Its value is a tenth of the job's age, or the time until the job may start if that is longer. It
    is at least 1 and at most 60 seconds.
    """
    if row.status.finished:
        return {}
    now = clock.now()
    wait = (now - row.created_at) // 10
    if row.status.timed:  # the job starts at `run_at`
        wait = max(wait, (row.run_at or 0) - now)
    seconds = min(max(wait // clock.SECOND, 1), _MAX_RETRY_AFTER)
    return {"Retry-After": str(seconds)}


def _read_contents(row: JobRequest) -> _WholeJob:
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
        max_size=responses.MAX_CONTENT_BYTES,
        notes=notes,
    )
    payload, _ = _read_if_it_fits(
        "payload",
        lambda: blobs.get(row.payload, row.payload_key),
        max_size=responses.MAX_CONTENT_BYTES - size,
        notes=notes,
    )
    # A running job has already started, so no note about its version is needed.
    may_start_later = not row.status.finished and row.status is not Status.RUNNING
    if may_start_later and payload is not None:
        notes += _notes_about_version(row, payload)
    return _WholeJob(row, payload, result, notes)


def _notes_about_version(row: JobRequest, payload: Any) -> list[str]:
    """Return a list with a note if only workers with another version of the code can start the
    job. Otherwise return an empty list."""
    try:
        registry().job_payload(row.job_type, payload)
    except JobRunnersError as error:
        return [f"Workers with this version of the code can't start the job. {error}"]
    except Exception:  # noqa: BLE001 - a custom validator failed, so the job will start, and fail
        return []
    return []


def _read_if_it_fits(
    name: str, read: Callable[[], Any], *, max_size: int, notes: list[str]
) -> tuple[Any, int]:
    """Return a stored value and its size. If it is gone or doesn't fit into a response, add a note,
    and return None and 0."""
    try:
        value = read()
        size = responses.size(value)
    except MissingObject:
        notes.append(f"The {name} was deleted from the bucket.")
    except RecursionError:
        notes.append(f"The {name} is nested too deeply to show.")
    else:
        if size <= max_size:
            return value, size
        notes.append(f"The {name} is too large to show.")
    return None, 0


def without_traceback(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an error without its traceback."""
    if not error:
        return error
    return {"kind": error.get("kind"), "message": error.get("message")}


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
    return wait_view(row) if row.held_by or row.current_wait else None


def _expiry(row: JobRequest) -> str | None:
    if row.expires_at is None:
        return None
    # DynamoDB needs the row's expiry in seconds.
    return time_of(row.expires_at * clock.SECOND)


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
        nullable(TEXT),
        lambda row: visible_payload_value(row.concurrency_key),
        "Its key in a queue that has limits. Null for viewers, because it may be a payload's value",
    ),
    "attempt": Field(NUMBER),
    "max_attempts": Field(NUMBER),
    "invocations": Field(NUMBER, about="Lambda invocations so far"),
    "created_at": Field(TIME),
    "queued_at": Field(nullable(TIME)),
    "run_at": Field(nullable(TIME)),
    "waiting_since": Field(nullable(TIME)),
    "waits_for": Field(WAITS_FOR, _reason_to_wait),
    "attempt_started_at": Field(nullable(TIME)),
    "started_at": Field(nullable(TIME)),
    "finished_at": Field(nullable(TIME)),
    "updated_at": Field(nullable(TIME)),
    "expires_at": Field(nullable(TIME), _expiry),
    "request_id": Field(nullable(TEXT)),
    "created_by": Field(AUTHOR, lambda row: visible_author(row.created_by)),
    "requeued_by": Field(
        AUTHOR, lambda row: visible_author(row.requeued_by), "The caller that retried the job last"
    ),
    "canceled_by": Field(
        AUTHOR, lambda row: visible_author(row.canceled_by), "The caller that canceled the job"
    ),
    "parent_id": Field(nullable(ID), about="The job that dispatched this one"),
    "group": Field(
        nullable(TEXT), lambda row: row.group_of, "The parent's group that this job is in"
    ),
    "follow_up_of": Field(nullable(ID), about="The job whose end dispatched this one"),
    "on_end": Field(
        nullable(TEXT),
        lambda row: _follow_up_type(row, "on_end"),
        "The job type that is dispatched when the job ends. It is `announce` if a webhook "
        "is called",
    ),
    "on_failure": Field(
        nullable(TEXT),
        lambda row: _follow_up_type(row, "on_failure"),
        "The job type that is dispatched when the job fails. It is `announce` if a webhook "
        "is called",
    ),
}

# The error of an attempt that was retried.
_EARLIER_ERROR: Fields[dict[str, Any]] = {
    "attempt": Field(NUMBER, lambda error: error.get("attempt")),
    "at": Field(TIME, lambda error: time_of(error.get("at"))),
    "kind": Field(TEXT, lambda error: error.get("kind")),
    "message": Field(TEXT, lambda error: error.get("message")),
    "module": Field(
        nullable(TEXT),
        lambda error: visible_code(error.get("module")),
        "The module of its class. Null for classes of Python and of Job Runners, and for "
        "callers who don't see tracebacks",
    ),
}

# The fields of a full view besides those of the summary.
WHOLE: Fields[_WholeJob] = {
    "earlier_errors": Field(
        {"type": "array", "items": object_of(properties(_EARLIER_ERROR)), "maxItems": MAX_KEPT},
        lambda job: [build_view(_EARLIER_ERROR, error) for error in job.row.earlier_errors or []],
        "Shortened errors of the last attempts that were retried, oldest first. After a "
        "manual retry, attempts count from 1 again",
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
        },
        lambda job: _follow_ups(job.row),
        "The follow-ups that were dispatched when the job last ended. They may have been "
        "deleted since",
    ),
    "unique_key": Field(
        nullable(TEXT),
        lambda job: visible_payload_value(job.row.unique_key),
        "The key of its unique work. While the job holds the key, no other job of its type "
        "can have it. A job that waits for another job gets the key when that job ends. "
        "Null for viewers, because they could guess payloads from this hash",
    ),
    "worker": Field(WORKER, lambda job: class_of_job(job.row.job_type)),
    "payload": Field({"type": ["object", "null"]}),
    "result": Field({}, about="Any JSON. Each `file` has a `url` that works for 5 minutes"),
    "notes": Field(
        {"type": "array", "items": TEXT},
        about="Reasons why fields aren't shown or the job can't start",
    ),
}

FAILED_TASK: "Fields[FailedTask]" = {
    "id": Field(ID, about="The id in its log lines"),
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
        {"type": ["object", "null"]},
        lambda record: None if record.payload is None else json.loads(record.payload),
        "Null unless the stack keeps it",
    ),
    "redriven_at": Field(
        nullable(TIME), about="When it was last resent. Once that starts, it isn't listed"
    ),
    "redriven_as": Field(nullable(ID), about="The id under which it was resent"),
}

CHILD: "Fields[Child]" = {
    "key": Field(
        nullable(TEXT),
        lambda child: visible_payload_value(child.key),
        "Its key among the children of its parent. Null for viewers",
    ),
    "group": Field(nullable(TEXT), about="The group that it is in; its key is unique there"),
    "id": Field(ID),
    "job": Field(
        {"anyOf": [ref("JobSummary"), {"type": "null"}]},
        lambda child: summary_view(child.row) if child.row else None,
        "Null if the job was deleted, or if another job does the same work",
    ),
}
