"""The parts of a route's OpenAPI specification: shapes, and what several routes have in common."""

from typing import Any, NamedTuple

import names
from api.json_schema import ID, KIND, NAME, STATUS, Schema
from api.query import DEFAULT_LIMIT
from store.job_request import Outcome
from store.queries import PAGE_LIMIT

BODY_PROBLEMS = ("unreadable-body", "form-body", "too-large", "invalid-request")
JOB_PROBLEMS = ("job-not-found",)
SCHEDULE_PROBLEMS = ("invalid-query", "schedule-not-found")
MOVE_PROBLEMS = (*JOB_PROBLEMS, "wrong-state", "moved-meanwhile")
# Of a job that is to be done, and of one that is new.
RUN_PROBLEMS = ("unknown-job-type", "invalid-payload", "not-fully-capable")
DISPATCH_PROBLEMS = (*RUN_PROBLEMS, "queue-full", "quota-reached", "unique-conflict")
# Problems of every request that has a caller.
ALWAYS = ("not-allowed", "unavailable", "unexpected")


class Answer(NamedTuple):
    """What a request is answered with when it is done: the name of a schema, and headers."""

    description: str
    schema: str | None = None
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"


class Operation(NamedTuple):
    """A route in the OpenAPI document; its summary and description are its endpoint's docstring."""

    id: str
    answers: dict[int, Answer]
    problems: tuple[str, ...] = ()  # beside ALWAYS
    body: str | None = None  # the name of a schema
    needs_body: bool = True
    parameters: tuple[Schema, ...] = ()


def _query(name: str, schema: Schema, description: str = "", *, required: bool = False) -> Schema:
    found = {"name": name, "in": "query", "schema": schema, "required": required}
    return found | {"description": description} if description else found


# Parameters in paths, by their names there.
PATH_PARAMETERS: dict[str, Schema] = {"job_id": ID, "task_id": ID, "kind": KIND, "name": NAME}

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
    "Unique-Outcome": {
        "description": "There if the job type is unique and another job was there before, with "
        "which this is answered: `returned` as it is; `replaced`, with the new payload and time; "
        "or a new one that `follows` it when it has ended",
        "schema": {"type": "string", "enum": [str(each) for each in Outcome]},
    },
}

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": names.KEY},
    "description": "The same request under the same key, in one organisation, is one job. In "
    "quotes, as a string of RFC 9651, it is the same key as without",
}
_LIMIT_SCHEMA: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": PAGE_LIMIT,
    "default": DEFAULT_LIMIT,
}
_CURSOR = _query("cursor", {**_TEXT, "maxLength": 2048}, "That of the page before")
ORGANIZATION = "organization_id"  # a caller that speaks for none must name one
PAGE_PARAMETERS = (_query("limit", _LIMIT_SCHEMA), _CURSOR)
WHOSE = (_query(ORGANIZATION, NAME, "Whose; by default the token's organisation"),)
JOB_LIST_PARAMETERS = (
    _query(ORGANIZATION, _TEXT, "Whose jobs; by default those of the token's organisation"),
    _query("status", STATUS, "`failed` is ordered by when it failed, the others by creation"),
    _query("job_type", _TEXT),
    _query("queue_name", _TEXT),
    _query("search", _TEXT, "How the job's id, its message or its error begins, in any case"),
    _query(
        "idempotency_key",
        IDEMPOTENCY_KEY["schema"],
        "The job that was dispatched under this key, if it is still kept; with no other parameter "
        "than `organization_id`",
    ),
    *PAGE_PARAMETERS,
)

POLLED = ("Retry-After",)
ACCEPTED = ("Location", "Retry-After", "Idempotent-Replayed", "Unique-Outcome")
