"""What each route takes and answers, as data: beside the routes, for the OpenAPI document."""

from dataclasses import dataclass
from typing import Any

import names
from api.query import DEFAULT_LIMIT
from api.schemas import ID, KIND, NAME, STATUS, Schema
from store.queries import PAGE_LIMIT

_BODY = ("unreadable-body", "form-body", "too-large", "invalid-request")
_A_JOB = ("job-not-found",)
_MOVES = (*_A_JOB, "wrong-state", "moved-meanwhile")
# Of every request that has a caller.
ALWAYS = ("not-allowed", "unavailable", "unexpected")


@dataclass(frozen=True)
class Answer:
    """What a request is answered with when it is done: the name of a schema, and headers."""

    says: str
    schema: str | None = None
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"


@dataclass(frozen=True)
class Operation:
    """A route's half of the document that its code does not say."""

    id: str
    answers: dict[int, Answer]
    problems: tuple[str, ...] = ()  # beside ALWAYS
    body: str | None = None  # the name of a schema
    needs_body: bool = True
    parameters: tuple[Schema, ...] = ()


def _query(name: str, schema: Schema, says: str = "", *, required: bool = False) -> Schema:
    found = {"name": name, "in": "query", "schema": schema, "required": required}
    return found | {"description": says} if says else found


# In paths, by their names there.
PATH_PARAMETERS: dict[str, Schema] = {"job_id": ID, "kind": KIND, "name": NAME}

HEADERS: dict[str, Schema] = {
    "Location": {"description": "The path of the job", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds until it is worth asking again; not there once it is finished",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Idempotent-Replayed": {
        "description": "`true` if the same request made this job before",
        "schema": {"type": "string", "const": "true"},
    },
}

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": names.KEY},
    "description": "The same request under the same key, in one organisation, is one job. In "
    "quotes, as a string of RFC 9651, it is the same key as without",
}
_LIMIT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": PAGE_LIMIT,
    "default": DEFAULT_LIMIT,
}
_CURSOR = _query("cursor", {**_TEXT, "maxLength": 2048}, "That of the page before")
ORGANIZATION = "organization_id"  # a caller that speaks for none must name one
_LISTED = (
    _query(ORGANIZATION, _TEXT, "Whose jobs; by default those of the token's organisation"),
    _query("status", STATUS, "`failed` is ordered by when it failed, the others by creation"),
    _query("job_type", _TEXT),
    _query("queue_name", _TEXT),
    _query("search", _TEXT, "How the job's id, its message or its error begins, in any case"),
    _query("limit", _LIMIT),
    _CURSOR,
)

_POLLED = ("Retry-After",)
_ACCEPTED = ("Location", "Retry-After", "Idempotent-Replayed")

# By path, then by method, as the routes are. The dashboard's page and its files are not in it.
OPERATIONS: dict[str, dict[str, Operation]] = {
    "/tasks": {
        "POST": Operation(
            "send_task",
            {202: Answer("Sent", "TaskSent")},
            (*_BODY, "unknown-task", "invalid-payload", "not-sent", "may-have-been-sent"),
            body="Task",
        )
    },
    "/jobs": {
        "GET": Operation(
            "list_jobs",
            {200: Answer("A page of jobs, newest first", "JobPage")},
            ("invalid-query", "invalid-cursor"),
            parameters=_LISTED,
        ),
        "POST": Operation(
            "dispatch_job",
            {202: Answer("Accepted: saved, and on its way", "JobSummary", _ACCEPTED)},
            (
                *_BODY,
                "unknown-job-type",
                "invalid-payload",
                "not-fully-capable",
                "idempotency-conflict",
            ),
            body="NewJob",
            parameters=(_KEY,),
        ),
    },
    "/jobs/<job_id>": {
        "GET": Operation("get_job", {200: Answer("The job", "Job", _POLLED)}, _A_JOB),
        "DELETE": Operation("delete_job", {204: Answer("Gone, with all that was kept")}, _MOVES),
    },
    "/jobs/<job_id>/children": {
        "GET": Operation(
            "list_children",
            {200: Answer("A page of the jobs that it has dispatched", "ChildPage")},
            (*_A_JOB, "invalid-query", "invalid-cursor"),
            parameters=(_query("limit", _LIMIT), _CURSOR),
        )
    },
    "/jobs/<job_id>/logs": {
        "GET": Operation(
            "read_logs",
            {200: Answer("Its lines; the latest invocation's alone if there are too many", "Logs")},
            (*_A_JOB, "logs-not-readable"),
        )
    },
    "/jobs/<job_id>/rerun": {
        "POST": Operation(
            "rerun_job",
            {202: Answer("Accepted: a new job, like this one", "JobSummary", _ACCEPTED)},
            (
                *_A_JOB,
                "wrong-state",
                "payload-gone",
                "invalid-request",
                "unknown-job-type",
                "invalid-payload",
                "not-fully-capable",
                "idempotency-conflict",
            ),
            parameters=(_KEY,),
        )
    },
    "/jobs/<job_id>/cancel": {
        "POST": Operation(
            "cancel_job",
            {
                200: Answer("Cancelled", "JobSummary"),
                202: Answer("It runs, and is asked to stop", "JobSummary", _POLLED),
            },
            _MOVES,
        )
    },
    "/jobs/<job_id>/retry": {
        "POST": Operation(
            "retry_job",
            {202: Answer("Queued again", "JobSummary", _POLLED)},
            (
                *_BODY,
                *_MOVES,
                "unknown-job-type",
                "invalid-payload",
                "not-fully-capable",
                "payload-gone",
            ),
            body="RetryData",
            needs_body=False,
        )
    },
    "/paused": {"GET": Operation("list_paused", {200: Answer("What is paused", "Paused")})},
    "/paused/<kind>/<name>": {
        "PUT": Operation(
            "pause",
            {200: Answer("Paused", "Brake")},
            (
                "path-not-found",
                "invalid-request",
                "unknown-job-type",
                "not-fully-capable",
                "too-many-paused",
                "moved-meanwhile",
            ),
        ),
        "DELETE": Operation(
            "resume",
            {204: Answer("Not paused, or no longer")},
            ("path-not-found", "invalid-request", "not-fully-capable"),
        ),
    },
    "/job-types": {
        "GET": Operation("list_job_types", {200: Answer("Every job and task", "JobTypes")})
    },
    "/health": {"GET": Operation("get_health", {200: Answer("The function runs", "Health")})},
    "/openapi.json": {
        "GET": Operation("get_openapi", {200: Answer("This document", "OpenApi")}),
    },
    "/docs": {
        "GET": Operation("get_docs", {200: Answer("The same as a page", content_type="text/html")}),
    },
}
