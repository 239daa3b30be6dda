"""`ROUTES`: each route with its endpoint, the lowest role that may call it, and its
specification."""

from collections.abc import Mapping
from typing import Any

from job_runners.api import dashboard_files
from job_runners.api.access import Caller, Role
from job_runners.api.responses import Response, respond
from job_runners.api.router import OPEN, Route, Routes
from job_runners.api.routes import (
    answers,
    batches,
    failures,
    job_types,
    jobs,
    pauses,
    queues,
    schedules,
    tasks,
    webhooks,
)
from job_runners.api.specification import (
    ACCEPTED,
    BATCH_ACCEPTED,
    BODY_PROBLEMS,
    CHANGE_PROBLEMS,
    DISPATCH_PROBLEMS,
    IDEMPOTENCY_KEY,
    JOB_LIST_PARAMETERS,
    JOB_PROBLEMS,
    MEMBER_PARAMETERS,
    PAGE_PARAMETERS,
    POLLED,
    REPEATED,
    RUN_PROBLEMS,
    SCHEDULE_PROBLEMS,
    WEBHOOK_PROBLEMS,
    WHOSE,
    WITH_MEMBERS,
    Answer,
    Operation,
)

Event = Mapping[str, Any]

# The endpoints about the API itself are in this file, because one of them reads `ROUTES`.


def get_openapi(_event: Event, _caller: Caller) -> Response:
    """Describe this API for programs (OpenAPI 3.1)."""
    from job_runners.api import openapi  # imported here because only this function needs it

    return respond(200, openapi.document(ROUTES))


def get_health(_event: Event) -> Response:
    """Check that the API is up. The response says nothing else, because this route is open to
    all."""
    return respond(200, {"status": "ok"})


# By path, then by method. Pages for browsers, and their files, are not in the OpenAPI document.
ROUTES: Routes = {
    "/": {"GET": Route(dashboard_files.get_page, OPEN)},
    "/assets/<version>/<name>": {"GET": Route(dashboard_files.get_asset, OPEN)},
    "/tasks": {
        "POST": Route(
            tasks.post_task,
            Role.SERVICE,
            Operation(
                "send_task",
                {202: Answer("Sent", "TaskSent")},
                (
                    *BODY_PROBLEMS,
                    "unknown-task",
                    "invalid-payload",
                    "not-sent",
                    "may-have-been-sent",
                ),
                body="Task",
            ),
        )
    },
    "/tasks/failed": {
        "GET": Route(
            tasks.get_failed,
            Role.SERVICE,
            Operation(
                "list_failed_tasks",
                {
                    200: Answer(
                        "A page of the last week's failed tasks, most recently dispatched first",
                        "FailedTasks",
                    )
                },
                ("invalid-query", "invalid-cursor"),
                parameters=PAGE_PARAMETERS,
            ),
        )
    },
    "/tasks/failed/<task_id>/redrive": {
        "POST": Route(
            tasks.redrive_task,
            Role.SERVICE,
            Operation(
                "redrive_task",
                {202: Answer("Resent under this id", "TaskSent")},
                (
                    "failed-task-not-found",
                    "payload-not-kept",
                    "unknown-task",
                    "invalid-payload",
                    "not-fully-capable",
                    "not-redriven",
                ),
            ),
        )
    },
    "/jobs": {
        "GET": Route(
            jobs.list_jobs,
            Role.VIEWER,
            Operation(
                "list_jobs",
                {200: Answer("A page of jobs, newest first", "JobPage")},
                ("invalid-query", "invalid-cursor", "failure-not-found"),
                parameters=JOB_LIST_PARAMETERS,
            ),
        ),
        "POST": Route(
            jobs.post_job,
            Role.OPERATOR,
            Operation(
                "dispatch_job",
                {202: Answer("Saved, and sent to a worker", "JobSummary", ACCEPTED)},
                (*BODY_PROBLEMS, *DISPATCH_PROBLEMS, "idempotency-conflict"),
                body="NewJob",
                parameters=(IDEMPOTENCY_KEY,),
            ),
        ),
    },
    "/jobs/bulk": {
        "POST": Route(
            jobs.post_bulk,
            Role.OPERATOR,
            Operation(
                "dispatch_jobs",
                {
                    200: Answer(
                        "The result of each job, in the order of the request",
                        "BulkResults",
                        REPEATED,
                    )
                },
                (
                    *BODY_PROBLEMS,
                    "invalid-jobs",
                    "not-fully-capable",
                    "queue-full",
                    "quota-reached",
                ),
                body="BulkData",
                parameters=(IDEMPOTENCY_KEY | {"required": True},),
            ),
        )
    },
    "/batches": {
        "POST": Route(
            batches.post_batch,
            Role.OPERATOR,
            Operation(
                "dispatch_batch",
                {202: Answer("Saved, and sent to a worker", "Batch", BATCH_ACCEPTED)},
                (
                    *BODY_PROBLEMS,
                    "invalid-members",
                    "not-fully-capable",
                    "queue-full",
                    "quota-reached",
                    "idempotency-conflict",
                ),
                body="BatchData",
                parameters=(IDEMPOTENCY_KEY | {"required": True},),
            ),
        )
    },
    "/batches/<job_id>": {
        "GET": Route(
            batches.get_batch,
            Role.VIEWER,
            Operation(
                "get_batch",
                {200: Answer("The batch", "Batch", POLLED)},
                (*JOB_PROBLEMS, "payload-gone"),
            ),
        ),
        "DELETE": Route(
            batches.cancel_batch,
            Role.OPERATOR,
            Operation(
                "cancel_batch",
                {
                    200: Answer("Canceled", "Batch"),
                    202: Answer("It stops soon, or once its members have ended", "Batch", POLLED),
                },
                (*CHANGE_PROBLEMS, "payload-gone", "invalid-query"),
                parameters=WITH_MEMBERS,
            ),
        ),
    },
    "/batches/<job_id>/members": {
        "GET": Route(
            batches.get_members,
            Role.VIEWER,
            Operation(
                "list_batch_members",
                {200: Answer("A page of the members, in their order", "MemberPage")},
                (*JOB_PROBLEMS, "payload-gone", "invalid-query", "invalid-cursor"),
                parameters=MEMBER_PARAMETERS,
            ),
        )
    },
    "/jobs/<job_id>": {
        "GET": Route(
            jobs.get_job,
            Role.VIEWER,
            Operation("get_job", {200: Answer("The job", "Job", POLLED)}, JOB_PROBLEMS),
        ),
        "DELETE": Route(
            jobs.delete_job,
            Role.OPERATOR,
            Operation("delete_job", {204: Answer("Deleted")}, CHANGE_PROBLEMS),
        ),
    },
    "/jobs/<job_id>/place": {
        "GET": Route(
            jobs.get_place,
            Role.VIEWER,
            Operation(
                "get_place", {200: Answer("Its position in line", "Place", POLLED)}, JOB_PROBLEMS
            ),
        )
    },
    "/jobs/<job_id>/children": {
        "GET": Route(
            jobs.get_children,
            Role.VIEWER,
            Operation(
                "list_children",
                {200: Answer("A page of the jobs that it has dispatched", "ChildPage")},
                (*JOB_PROBLEMS, "invalid-query", "invalid-cursor"),
                parameters=PAGE_PARAMETERS,
            ),
        )
    },
    "/jobs/<job_id>/groups": {
        "GET": Route(
            jobs.get_groups,
            Role.VIEWER,
            Operation("list_groups", {200: Answer("Its groups, by name", "Groups")}, JOB_PROBLEMS),
        )
    },
    "/jobs/<job_id>/logs": {
        "GET": Route(
            jobs.get_logs,
            Role.OPERATOR,
            Operation(
                "read_logs",
                {
                    200: Answer(
                        "Its lines, or only those of its latest invocation if there are too many",
                        "Logs",
                    )
                },
                (*JOB_PROBLEMS, "logs-not-readable"),
            ),
        )
    },
    "/jobs/<job_id>/rerun": {
        "POST": Route(
            jobs.rerun_job,
            Role.OPERATOR,
            Operation(
                "rerun_job",
                {202: Answer("The new job", "JobSummary", ACCEPTED)},
                (
                    *JOB_PROBLEMS,
                    *DISPATCH_PROBLEMS,
                    "wrong-state",
                    "payload-gone",
                    "invalid-request",
                    "idempotency-conflict",
                ),
                parameters=(IDEMPOTENCY_KEY,),
            ),
        )
    },
    "/jobs/<job_id>/cancel": {
        "POST": Route(
            jobs.cancel_job,
            Role.OPERATOR,
            Operation(
                "cancel_job",
                {
                    200: Answer("Canceled", "JobSummary"),
                    202: Answer(
                        "It stops at its next checkpoint, or once its members have ended",
                        "JobSummary",
                        POLLED,
                    ),
                },
                (*CHANGE_PROBLEMS, "invalid-query"),
                parameters=WITH_MEMBERS,
            ),
        )
    },
    "/jobs/<job_id>/retry": {
        "POST": Route(
            jobs.retry_job,
            Role.OPERATOR,
            Operation(
                "retry_job",
                {202: Answer("Queued again", "JobSummary", POLLED)},
                (
                    *BODY_PROBLEMS,
                    *CHANGE_PROBLEMS,
                    *RUN_PROBLEMS,
                    "payload-gone",
                    "unique-conflict",
                ),
                body="RetryData",
                needs_body=False,
            ),
        )
    },
    "/failures": {
        "GET": Route(
            failures.list_failures,
            Role.VIEWER,
            Operation(
                "list_failures",
                {200: Answer("The failure groups, most recently seen first", "Failures")},
                ("invalid-query",),
                parameters=WHOSE,
            ),
        )
    },
    "/failures/<failure_id>": {
        "PUT": Route(
            failures.put_failure,
            Role.OPERATOR,
            Operation(
                "change_failure",
                {200: Answer("The failure group", "Failure")},
                (*BODY_PROBLEMS, "invalid-query", "failure-not-found"),
                body="FailureData",
                parameters=WHOSE,
            ),
        )
    },
    "/jobs/<job_id>/signals/<name>": {
        "PUT": Route(
            jobs.put_signal,
            Role.OPERATOR,
            Operation(
                "signal_job",
                {200: Answer("Stored now, or earlier with the same value", "JobSummary", POLLED)},
                (
                    *BODY_PROBLEMS,
                    *JOB_PROBLEMS,
                    "signal-conflict",
                    "signal-too-late",
                    "too-many-signals",
                    "signal-busy",
                ),
                body="SignalData",
            ),
        )
    },
    "/answers/<token>": {
        "GET": Route(answers.get_answer, OPEN),
        "POST": Route(
            answers.post_answer,
            OPEN,
            Operation(
                "answer_question",
                {200: Answer("Answered now, or before in the same way", "Answered")},
                (
                    *BODY_PROBLEMS,
                    "link-not-found",
                    "already-answered",
                    "link-over",
                    "signal-busy",
                ),
                body="AnswerData",
            ),
        ),
    },
    "/paused": {
        "GET": Route(
            pauses.get_paused,
            Role.VIEWER,
            Operation("list_paused", {200: Answer("Paused job types and queues", "Paused")}),
        )
    },
    "/paused/<kind>/<name>": {
        "PUT": Route(
            pauses.put_paused,
            Role.SERVICE,
            Operation(
                "pause",
                {200: Answer("Paused", "Pause")},
                (
                    "path-not-found",
                    "invalid-request",
                    "unknown-job-type",
                    "not-fully-capable",
                    "too-many-paused",
                    "moved-meanwhile",
                ),
            ),
        ),
        "DELETE": Route(
            pauses.delete_paused,
            Role.SERVICE,
            Operation(
                "resume",
                {204: Answer("Not paused")},
                ("path-not-found", "invalid-request", "not-fully-capable"),
            ),
        ),
    },
    "/queues": {
        "GET": Route(
            queues.list_queues,
            Role.VIEWER,
            Operation(
                "list_queues",
                {200: Answer("A page of queues, by name", "QueuePage")},
                ("invalid-query", "invalid-cursor"),
                parameters=PAGE_PARAMETERS,
            ),
        )
    },
    "/queues/<name>": {
        "GET": Route(
            queues.get_queue,
            Role.VIEWER,
            Operation(
                "get_queue",
                {200: Answer("The queue, with a page of its keys", "Queue")},
                ("queue-not-found", "invalid-query", "invalid-cursor"),
                parameters=PAGE_PARAMETERS,
            ),
        ),
        "PUT": Route(
            queues.put_queue,
            Role.SERVICE,
            Operation(
                "limit_queue",
                {200: Answer("Its limits, active within 10 seconds", "QueueLimits")},
                (*BODY_PROBLEMS, "nothing-limited", "too-many-limited", "not-fully-capable"),
                body="LimitsData",
            ),
        ),
        "DELETE": Route(
            queues.delete_queue,
            Role.SERVICE,
            Operation(
                "reset_queue",
                {204: Answer("Its limits are those declared in code")},
                ("invalid-request", "not-fully-capable"),
            ),
        ),
    },
    "/schedules": {
        "GET": Route(
            schedules.list_schedules,
            Role.VIEWER,
            Operation(
                "list_schedules",
                {200: Answer("A page of schedules, by name", "SchedulePage")},
                ("invalid-query", "invalid-cursor"),
                parameters=(*WHOSE, *PAGE_PARAMETERS),
            ),
        )
    },
    "/schedules/<name>": {
        "GET": Route(
            schedules.get_schedule,
            Role.VIEWER,
            Operation(
                "get_schedule",
                {200: Answer("The schedule", "Schedule")},
                SCHEDULE_PROBLEMS,
                parameters=WHOSE,
            ),
        ),
        "PUT": Route(
            schedules.put_schedule,
            Role.OPERATOR,
            Operation(
                "put_schedule",
                {
                    200: Answer("Replaced", "Schedule"),
                    201: Answer("Created", "Schedule"),
                },
                (
                    *BODY_PROBLEMS,
                    *RUN_PROBLEMS,
                    "invalid-query",
                    "declared-in-code",
                    "too-many-schedules",
                    "schedule-busy",
                ),
                body="ScheduleData",
                parameters=WHOSE,
            ),
        ),
        "DELETE": Route(
            schedules.delete_schedule,
            Role.OPERATOR,
            Operation(
                "delete_schedule",
                {204: Answer("Deleted")},
                (*SCHEDULE_PROBLEMS, "declared-in-code", "schedule-busy"),
                parameters=WHOSE,
            ),
        ),
    },
    "/schedules/<name>/paused": {
        "PUT": Route(
            schedules.pause_schedule,
            Role.OPERATOR,
            Operation(
                "pause_schedule",
                {200: Answer("Paused", "Schedule")},
                (*SCHEDULE_PROBLEMS, *BODY_PROBLEMS, "schedule-busy"),
                parameters=WHOSE,
            ),
        ),
        "DELETE": Route(
            schedules.resume_schedule,
            Role.OPERATOR,
            Operation(
                "resume_schedule",
                {200: Answer("Not paused", "Schedule")},
                (*SCHEDULE_PROBLEMS, "invalid-request", "schedule-busy"),
                parameters=WHOSE,
            ),
        ),
    },
    "/schedules/<name>/run": {
        "POST": Route(
            schedules.run_schedule,
            Role.OPERATOR,
            Operation(
                "run_schedule",
                {202: Answer("The new job", "JobSummary", ACCEPTED)},
                (
                    *SCHEDULE_PROBLEMS,
                    *DISPATCH_PROBLEMS,
                    *BODY_PROBLEMS,
                    "idempotency-conflict",
                ),
                parameters=(*WHOSE, IDEMPOTENCY_KEY),
            ),
        )
    },
    "/webhooks": {
        "GET": Route(
            webhooks.list_webhooks,
            Role.OPERATOR,
            Operation(
                "list_webhooks",
                {200: Answer("The webhooks, by name", "Webhooks")},
                ("invalid-query",),
                parameters=WHOSE,
            ),
        )
    },
    "/webhooks/<name>": {
        "GET": Route(
            webhooks.get_webhook,
            Role.OPERATOR,
            Operation(
                "get_webhook",
                {200: Answer("The webhook", "Webhook")},
                WEBHOOK_PROBLEMS,
                parameters=WHOSE,
            ),
        ),
        "PUT": Route(
            webhooks.put_webhook,
            Role.OPERATOR,
            Operation(
                "put_webhook",
                {
                    200: Answer("Replaced", "Webhook"),
                    201: Answer("Created", "Webhook"),
                },
                (
                    *BODY_PROBLEMS,
                    "invalid-query",
                    "unknown-job-type",
                    "not-fully-capable",
                    "webhooks-off",
                    "too-many-webhooks",
                ),
                body="WebhookData",
                parameters=WHOSE,
            ),
        ),
        "DELETE": Route(
            webhooks.delete_webhook,
            Role.OPERATOR,
            Operation(
                "delete_webhook",
                {204: Answer("Deleted")},
                WEBHOOK_PROBLEMS,
                parameters=WHOSE,
            ),
        ),
    },
    "/webhooks/<name>/test": {
        "POST": Route(
            webhooks.test_webhook,
            Role.OPERATOR,
            Operation(
                "test_webhook",
                {202: Answer("The job that delivers the test", "JobSummary", ACCEPTED)},
                (*WEBHOOK_PROBLEMS, *DISPATCH_PROBLEMS, *BODY_PROBLEMS),
                parameters=WHOSE,
            ),
        )
    },
    "/webhooks/<name>/deliveries": {
        "GET": Route(
            webhooks.list_deliveries,
            Role.OPERATOR,
            Operation(
                "list_deliveries",
                {200: Answer("A page of the jobs that deliver to it, newest first", "JobPage")},
                (*WEBHOOK_PROBLEMS, "invalid-cursor"),
                parameters=(*WHOSE, *PAGE_PARAMETERS),
            ),
        )
    },
    "/job-types": {
        "GET": Route(
            job_types.get_job_types,
            Role.VIEWER,
            Operation("list_job_types", {200: Answer("Every job and task", "JobTypes")}),
        )
    },
    "/health": {
        "GET": Route(
            get_health,
            OPEN,
            Operation("get_health", {200: Answer("The API is up", "Health")}),
        )
    },
    "/openapi.json": {
        "GET": Route(
            get_openapi,
            Role.VIEWER,
            Operation("get_openapi", {200: Answer("This document", "OpenApi")}),
        )
    },
}
