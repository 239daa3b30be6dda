"""The parts of the OpenAPI document that several routes share, such as problems and parameters."""

from typing import Any, NamedTuple

from job_runners import names
from job_runners.api.json_schema import ID, KIND, NAME, STATUS, TIME, Schema
from job_runners.engine.control import positions
from job_runners.store.job_request import DuplicateAnswer
from job_runners.store.member_outcomes import OUTCOMES
from job_runners.store.queries import PAGE_LIMIT

DEFAULT_LIMIT = 25  # items of a page

BODY_PROBLEMS = ("unreadable-body", "form-body", "too-large", "invalid-request")
CHANGE_PROBLEMS = ("job-not-found", "wrong-state", "moved-meanwhile")
# Problems of requests that start a job, such as a retry.
RUN_PROBLEMS = ("unknown-job-type", "invalid-payload", "runner-cannot-resend")
# Problems of requests that dispatch a new job.
DISPATCH_PROBLEMS = (
    *RUN_PROBLEMS,
    "invalid-follow-up",
    "queue-full",
    "quota-reached",
    "unique-conflict",
)
# Problems of every request with credentials.
COMMON_PROBLEMS = ("not-allowed", "unavailable", "unexpected")


# The responses to a successful request by status. Each is a tuple of a description, a schema's name
# and the names of headers. A class instead of the tuple would make cold starts longer.
Responses = dict[int, tuple[str, str | None, tuple[str, ...]]]


def ok(description: str, schema: str, headers: tuple[str, ...] = ()) -> Responses:
    """Return a response with the status 200."""
    return {200: (description, schema, headers)}


def replaced_or_created(schema: str) -> Responses:
    """Return the two responses to a PUT."""
    return {200: ("Replaced", schema, ()), 201: ("Created", schema, ())}


def accepted(description: str, schema: str, headers: tuple[str, ...] = ()) -> Responses:
    """Return a response with the status 202."""
    return {202: (description, schema, headers)}


def deleted(description: str) -> Responses:
    """Return a response with the status 204."""
    return {204: (description, None, ())}


class Operation(NamedTuple):
    """A route in the OpenAPI document. The endpoint's name is its id, and the endpoint's docstring
    is its description."""

    responses: Responses
    problems: tuple[str, ...] = ()  # slugs; problems of any caller, body or query are added later
    body: str | None = None  # the name of the body's schema
    needs_body: bool = True
    takes_file: bool = False  # whether the body is a file instead of JSON
    parameters: tuple[Schema, ...] = ()


def _query(name: str, schema: Schema, description: str = "", *, required: bool = False) -> Schema:
    parameter = {"name": name, "in": "query", "schema": schema, "required": required}
    if description:
        parameter["description"] = description
    return parameter


# Path parameters by name.
PATH_PARAMETERS: dict[str, Schema] = {
    "job_id": ID,
    "task_id": ID,
    "kind": KIND,
    "name": NAME,
    "error_group_id": ID,
    "token": ID,
}

HEADERS: dict[str, Schema] = {
    "Location": {"description": "The path of the job", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before the next request; absent once the job is finished",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Idempotent-Replayed": {
        "description": "`true` if an earlier identical request dispatched this job",
        "schema": {"type": "string", "const": "true"},
    },
    "Unique-Outcome": {
        "description": "Present if another job already did the same unique work. `returned`: that "
        "job, unchanged. `replaced`: that job, with the new payload and time. `follows`: a new job "
        "that starts after that job has ended",
        "schema": {"type": "string", "enum": [str(outcome) for outcome in DuplicateAnswer]},
    },
}

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": names.KEY},
    "description": "Key that makes a repeated request of one organization return the same job",
}
REQUIRED_KEY = IDEMPOTENCY_KEY | {"required": True}
_LIMIT_SCHEMA: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": PAGE_LIMIT,
    "default": DEFAULT_LIMIT,
}
CURSOR = _query("cursor", {**_TEXT, "maxLength": 2048}, "The cursor of the previous page")
ORGANIZATION = "organization_id"  # services must send it, because they have no organization
PAGE_PARAMETERS = (_query("limit", _LIMIT_SCHEMA), CURSOR)
WITH_MEMBERS = (
    _query(
        "members",
        {"type": "string", "enum": ["true", "false"]},
        "Whether to cancel the open members too (default: false)",
    ),
)
MEMBER_PARAMETERS = (
    _query(
        "status",
        {"type": "string", "enum": list(OUTCOMES)},
        "Only the members with this outcome. A page can be short even if there is a next page",
    ),
    *PAGE_PARAMETERS,
)
ORGANIZATION_PARAMETER = (_query(ORGANIZATION, NAME, "Organization (default: the token's)"),)
ORGANIZATION_OR_ALL = (_query(ORGANIZATION, NAME, "Organization (default: the token's, or all)"),)
JOB_LIST_PARAMETERS = (
    _query(ORGANIZATION, _TEXT, "Organization (default: the token's)"),
    _query("status", STATUS, "`failed` sorts by failure time, the others by creation time"),
    _query("job_type", _TEXT),
    _query("queue_name", _TEXT),
    _query(
        "waits_for",
        {"type": "string", "enum": list(positions.KINDS)},
        "Only the jobs that wait for this: `signal` finds those that wait for a person or an event",
    ),
    _query("error_group", ID, "Only the failed jobs of this error group; see GET /error-groups"),
    _query("search", _TEXT, "Start of the job's id, its message or its error. Case doesn't matter"),
    _query(
        "since", TIME, "Only jobs created at this time or later. For `failed`: that failed then"
    ),
    _query("until", TIME, "Only jobs created, or failed, before this time"),
    _query(
        "idempotency_key",
        IDEMPOTENCY_KEY["schema"],
        "Only the job dispatched with this key, if it still exists. Combine it only with "
        "`organization_id`",
    ),
    *PAGE_PARAMETERS,
)

POLL_HEADERS = ("Retry-After",)
REPEAT_HEADERS = ("Retry-After",)  # only if the caller should repeat the request
BATCH_HEADERS = ("Location", "Retry-After", "Idempotent-Replayed")
DISPATCH_HEADERS = (*BATCH_HEADERS, "Unique-Outcome")
