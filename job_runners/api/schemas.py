"""The JSON Schemas of the API's responses. The tests check every response against them."""

from job_runners.api import (
    backlog_views,
    batch_views,
    bulk,
    error_group_views,
    queue_views,
    schedule_views,
    timeline_views,
    views,
    wait_views,
    webhook_views,
)
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    TEXT,
    TIME,
    Schema,
    list_of,
    nullable,
    object_of,
    properties,
)

_RETRY: Schema = {"type": ["object", "null"], "description": "Null if it is never retried"}
# The fields that job types and tasks share.
_JOB_OR_TASK: Schema = {
    "name": TEXT,
    "description": TEXT,
    "payload_schema": {"type": "object"},
    "retry": _RETRY,
    "worker": views.WORKER,
}

_UNIQUE: Schema = {
    **object_of(
        {
            "by": {"type": "array", "items": TEXT},
            "until": {"type": "string", "enum": ["finished", "started"]},
            "on_conflict": {"type": "string", "enum": ["return", "refuse", "replace"]},
            "at_most": nullable(
                {"type": "number", "description": "Seconds by which `replace` may delay the start"}
            ),
            "then": {
                "enum": ["again", None],
                "description": "`again`: if the job has started, another one follows it",
            },
        }
    ),
    "type": ["object", "null"],
    "description": "Jobs of one organization do the same work if their fields `by` have the same "
    "values. A job holds the key of its work until it has started or finished. In the meantime, "
    "`on_conflict` decides what a second request does. Null if jobs of this type aren't unique",
}

SCHEMAS: Schema = {
    "JobSummary": object_of(properties(views.SUMMARY)),
    "Job": object_of(properties(views.SUMMARY) | properties(views.WHOLE)),
    "BulkResults": object_of({"jobs": list_of("BulkResult")}),
    "BulkResult": object_of(properties(bulk.RESULT)),
    "JobPage": object_of(
        {"jobs": list_of("JobSummary"), "cursor": nullable(TEXT)},
        description="`cursor` is the cursor of the next page. A filtered page can be short or "
        "empty even if there is a next page",
    ),
    "Batch": object_of(properties(batch_views.BATCH) | properties(batch_views.COUNTS)),
    "MemberPage": object_of(
        {"members": list_of("BatchMember"), "cursor": nullable(TEXT)},
        description="A filtered page can be short or empty even if there is a next page",
    ),
    "BatchMember": object_of(properties(batch_views.MEMBER)),
    "ChildPage": object_of({"children": list_of("Child"), "cursor": nullable(TEXT)}),
    "Groups": object_of({"groups": list_of("Group")}),
    "Group": object_of({"name": TEXT} | properties(batch_views.COUNTS)),
    "Timeline": object_of(timeline_views.TIMELINE),
    "TimelineRecord": object_of(properties(timeline_views.RECORD)),
    "Act": object_of(properties(timeline_views.ACT)),
    "Child": object_of(properties(views.CHILD)),
    "Logs": object_of(
        {
            "lines": list_of("LogLine"),
            "complete": {"type": "boolean", "description": "False if lines are missing"},
        }
    ),
    "LogLine": object_of(
        {
            "time": TIME,
            "level": TEXT,
            "message": TEXT,
            "attempt": nullable(NUMBER),
            "invocation": nullable(NUMBER),
            "exception": nullable(TEXT),
            "more": {"type": "object", "additionalProperties": TEXT},
        }
    ),
    "JobTypes": object_of({"jobs": list_of("JobType"), "tasks": list_of("TaskType")}),
    "JobType": object_of(
        _JOB_OR_TASK
        | {
            "queue_name": TEXT,
            "queues": {
                "type": "array",
                "items": TEXT,
                "description": "Allowed values of `queue_name`; services may use any queue",
            },
            "internal": {
                "type": "boolean",
                "description": "Whether only Job Runners or certain job types dispatch such jobs",
            },
            "unique": _UNIQUE,
        }
    ),
    "TaskType": object_of(_JOB_OR_TASK),
    "TaskSent": object_of(
        {
            "id": nullable(TEXT)
            | {"description": "The id in its log lines. Null if the runner returns none"},
            "task_name": TEXT,
            "status": {"type": "string", "const": "sent"},
        }
    ),
    "FailedTasks": object_of({"tasks": list_of("FailedTask"), "cursor": nullable(TEXT)}),
    "FailedTask": object_of(properties(views.FAILED_TASK)),
    "ErrorGroups": object_of(
        {
            "error_groups": list_of("ErrorGroup"),
            "complete": {
                "type": "boolean",
                "description": "False if there are more error groups than one response can have",
            },
        }
    ),
    "ErrorGroup": object_of(properties(error_group_views.ERROR_GROUP)),
    "Paused": object_of({"paused": list_of("Pause")}),
    "Pause": object_of(properties(queue_views.PAUSE)),
    "QueuePage": object_of({"queues": list_of("Queue"), "cursor": nullable(TEXT)}),
    "Queue": object_of(properties(queue_views.QUEUE_LIMITS) | properties(queue_views.QUEUE)),
    "Upload": object_of({"key": {**TEXT, "description": "Key of the file in the bucket"}}),
    "Backlog": object_of({"jobs": list_of("QueueBacklog"), "more": backlog_views.MORE}),
    "QueueBacklog": object_of(properties(backlog_views.BACKLOG)),
    "ConcurrencyKey": object_of(properties(queue_views.QUEUE_KEY)),
    "QueueLimits": object_of(properties(queue_views.QUEUE_LIMITS)),
    "SchedulePage": object_of({"schedules": list_of("ScheduleSummary"), "cursor": nullable(TEXT)}),
    "ScheduleSummary": object_of(schedule_views.SUMMARY),
    "Schedule": object_of(schedule_views.SUMMARY | properties(schedule_views.WHOLE)),
    "Webhooks": object_of({"webhooks": list_of("Webhook")}),
    "Webhook": object_of(properties(webhook_views.WEBHOOK)),
    "Place": object_of(properties(wait_views.PLACE)),
    "AnswerData": {
        "anyOf": [
            object_of({"choice": {**TEXT, "description": "One of the question's choices"}}),
            {"description": "Without choices, any JSON of at most 100 KB"},
        ],
    },
    "Answered": object_of({"status": {"type": "string", "const": "answered"}}),
    "Health": object_of({"status": {"type": "string", "const": "ok"}}),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths", "components"]},
    "GatewayMessage": {
        "type": "object",
        "properties": {"message": nullable(TEXT)},
        "description": "The response of API Gateway itself",
    },
}


def problem_schema(types: list[str]) -> Schema:
    """Return the schema of a problem with one of these types."""
    field_problem = object_of({"field": TEXT, "why": TEXT})
    field_problem["properties"]["index"] = {
        **NUMBER,
        "description": "For `invalid-jobs` and `invalid-members`, the index of the job or member",
    }
    field_problem["properties"]["line"] = {
        **NUMBER,
        "description": "For `invalid-members`, the line in the file",
    }
    fields = {
        "type": {"type": "string", "enum": types},
        "title": TEXT,
        "status": NUMBER,
        "detail": TEXT,
        "request_id": nullable(TEXT),
    }
    schema = object_of(fields)
    schema["properties"] = {
        **fields,
        "errors": {"type": "array", "items": field_problem},
        "job_id": {
            **ID,
            "description": "For `unique-conflict`, the job that does the same work. For "
            "`idempotency-conflict`, the job that has the key",
        },
    }
    return schema
