"""What the API answers with, as JSON Schema: the contract test holds every response to it."""

from typing import Any

import names
from store.earlier_errors import KEPT
from store.job_request import Status
from store.pauses import Kind

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_TIME: Schema = {"type": "string", "format": "date-time"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
STATUS: Schema = {"type": "string", "enum": [str(each) for each in Status]}
KIND: Schema = {"type": "string", "enum": [str(each) for each in Kind]}
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": names.LONGEST,
    "pattern": names.NAME,
}


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(properties: Schema, **more: Any) -> Schema:
    """An object with all of these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _list(of: str) -> Schema:
    return {"type": "array", "items": ref(of)}


def ref(name: str) -> Schema:
    """The schema of this name, wherever it is used."""
    return {"$ref": f"#/components/schemas/{name}"}


_AUTHOR: Schema = {
    **_maybe(_TEXT),
    "description": "Role and name, as `operator:user-1`. Only services see which service it was",
}

_SUMMARY: Schema = {
    "id": ID,
    "job_type": _TEXT,
    "status": STATUS,
    "cancel_requested": {"type": "boolean"},
    "progress": {"type": "number", "minimum": 0, "maximum": 100},
    "result_message": _maybe(_TEXT),
    "error": {
        "type": ["object", "null"],
        "properties": {"kind": _maybe(_TEXT), "message": _maybe(_TEXT)},
        "required": ["kind", "message"],
        "description": "Why the last attempt failed; the whole job has the traceback too",
    },
    "organization_id": _TEXT,
    "campaign_id": _maybe(_TEXT),
    "queue_name": _TEXT,
    "attempt": _NUMBER,
    "max_attempts": _NUMBER,
    "legs": {**_NUMBER, "description": "Invocations so far"},
    "created_at": _TIME,
    "queued_at": _maybe(_TIME),
    "run_at": _maybe(_TIME),
    "waiting_since": _maybe(_TIME),
    "attempt_started_at": _maybe(_TIME),
    "started_at": _maybe(_TIME),
    "finished_at": _maybe(_TIME),
    "updated_at": _maybe(_TIME),
    "expires_at": _maybe(_TIME),
    "request_id": _maybe(_TEXT),
    "created_by": _AUTHOR,
    "requeued_by": {**_AUTHOR, "description": "Who had it done again last"},
    "cancelled_by": {**_AUTHOR, "description": "Who cancelled it, or asked it to stop"},
    "parent_id": {**_maybe(ID), "description": "The job that dispatched this one"},
}

_EARLIER: Schema = _object({"attempt": _NUMBER, "at": _TIME, "kind": _TEXT, "message": _TEXT})

_WHOLE: Schema = _SUMMARY | {
    "earlier_errors": {
        "type": "array",
        "items": _EARLIER,
        "maxItems": KEPT,
        "description": "Of the last attempts that another one followed, oldest first, shortened; "
        "attempts are counted from 1 again when the job is retried by hand",
    },
    "payload": {"type": ["object", "null"]},
    "result": {"description": "Any JSON. Beside a `file`, a `url` that works for 5 minutes"},
    "notes": {"type": "array", "items": _TEXT, "description": "Why something is not shown"},
    "logs_url": _maybe(_TEXT),
}

_RETRY: Schema = {"type": ["object", "null"], "description": "None: it never runs twice"}
_WORK: Schema = {
    "name": _TEXT,
    "description": _TEXT,
    "payload_schema": {"type": "object"},
    "retry": _RETRY,
}

SCHEMAS: Schema = {
    "JobSummary": _object(_SUMMARY),
    "Job": _object(_WHOLE),
    "JobPage": _object(
        {"jobs": _list("JobSummary"), "cursor": _maybe(_TEXT)},
        description="`cursor` asks for those that follow. A filtered page may be short, even "
        "empty, and still have one",
    ),
    "ChildPage": _object({"children": _list("Child"), "cursor": _maybe(_TEXT)}),
    "Child": _object(
        {
            "key": {**_TEXT, "description": "What names it among the children of its parent"},
            "id": ID,
            "job": {
                "anyOf": [ref("JobSummary"), {"type": "null"}],
                "description": "Null once it is gone",
            },
        }
    ),
    "Logs": _object(
        {
            "lines": _list("LogLine"),
            "complete": {"type": "boolean", "description": "Whether these are all that there are"},
        }
    ),
    "LogLine": _object(
        {
            "time": _TIME,
            "level": _TEXT,
            "message": _TEXT,
            "attempt": _maybe(_NUMBER),
            "leg": _maybe(_NUMBER),
            "exception": _maybe(_TEXT),
            "more": {"type": "object", "additionalProperties": _TEXT},
        }
    ),
    "JobTypes": _object({"jobs": _list("JobType"), "tasks": _list("TaskType")}),
    "JobType": _object(_WORK | {"queue_name": _TEXT, "needs_campaign": {"type": "boolean"}}),
    "TaskType": _object(_WORK),
    "TaskSent": _object({"task_name": _TEXT, "status": {"type": "string", "const": "sent"}}),
    "Paused": _object({"paused": _list("Brake")}),
    "Brake": _object({"kind": KIND, "name": _TEXT, "paused_at": _TIME, "paused_by": _AUTHOR}),
    "Health": _object({"status": {"type": "string", "const": "ok"}}),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths", "components"]},
    "GatewayMessage": {
        "type": "object",
        "properties": {"message": _maybe(_TEXT)},
        "description": "What API Gateway answers by itself",
    },
}


def problem(types: list[str]) -> Schema:
    """A problem, of one of these types."""
    wrong = _object({"field": _TEXT, "why": _TEXT})
    fields = {
        "type": {"type": "string", "enum": types},
        "title": _TEXT,
        "status": _NUMBER,
        "detail": _TEXT,
        "request_id": _maybe(_TEXT),
    }
    schema = _object(fields)
    schema["properties"] = {**fields, "errors": {"type": "array", "items": wrong}}
    return schema
