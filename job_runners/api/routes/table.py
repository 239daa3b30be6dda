"""The table of all routes, with their endpoints, roles and OpenAPI specifications.

An endpoint's module is imported at its first request, because each process serves few routes.
"""

from typing import Any

from job_runners.api.access import Caller, Event, Role
from job_runners.api.responses import Response, respond
from job_runners.api.router import OPEN, Route
from job_runners.api.specification import (
    BATCH_HEADERS,
    BODY_PROBLEMS,
    CHANGE_PROBLEMS,
    DISPATCH_HEADERS,
    DISPATCH_PROBLEMS,
    IDEMPOTENCY_KEY,
    JOB_LIST_PARAMETERS,
    MEMBER_PARAMETERS,
    ORGANIZATION_OR_ALL,
    ORGANIZATION_PARAMETER,
    PAGE_PARAMETERS,
    POLL_HEADERS,
    REPEAT_HEADERS,
    REQUIRED_KEY,
    RUN_PROBLEMS,
    WITH_MEMBERS,
    Operation,
    Responses,
    accepted,
    deleted,
    ok,
    replaced_or_created,
)

ROUTES: dict[str, dict[str, Route]] = {}  # by path, then by method


def _route(
    method_and_path: str,
    endpoint: str,
    min_role: Role | None,
    responses: Responses | None = None,
    problems: tuple[str, ...] = (),
    **operation_fields: Any,
) -> None:
    """Add a route. The endpoint "jobs.get_job" is a function in routes/jobs.py. A route without
    `responses` isn't in the OpenAPI document."""
    method, path = method_and_path.split()
    operation = None if responses is None else Operation(responses, problems, **operation_fields)
    ROUTES.setdefault(path, {})[method] = Route(endpoint, min_role, operation)


# The endpoints about the API itself are here, because one of them reads `ROUTES`.


def get_openapi(_event: Event, _caller: Caller) -> Response:
    """Describe this API for programs (OpenAPI 3.1)."""
    from job_runners.api import openapi  # imported here because only this function needs it

    return respond(200, openapi.document(ROUTES))


def get_health(_event: Event) -> Response:
    """Check that the API is up. The response says nothing else, because this route is open to
    all."""
    return respond(200, {"status": "ok"})


# The OpenAPI document doesn't have the pages for browsers and their files.
_route("GET /", "dashboard_files.get_page", OPEN)
_route("GET /assets/<version>/<name>", "dashboard_files.get_asset", OPEN)
_route(
    "POST /tasks",
    "tasks.send_task",
    Role.SERVICE,
    accepted("Sent", "TaskSent"),
    ("unknown-task", "invalid-payload", "not-sent", "may-have-been-sent"),
    body="Task",
)
_route(
    "GET /tasks/failed",
    "tasks.list_failed_tasks",
    Role.SERVICE,
    ok("A page of the last week's failed tasks, most recently dispatched first", "FailedTasks"),
    parameters=PAGE_PARAMETERS,
)
_route(
    "POST /tasks/failed/<task_id>/redrive",
    "tasks.redrive_task",
    Role.SERVICE,
    accepted("Resent under this id", "TaskSent"),
    (
        "failed-task-not-found",
        "payload-not-kept",
        "unknown-task",
        "invalid-payload",
        "runner-cannot-resend",
        "not-redriven",
    ),
)
_route(
    "GET /jobs",
    "jobs.list_jobs",
    Role.VIEWER,
    ok("A page of jobs, newest first", "JobPage"),
    ("error-group-not-found",),
    parameters=JOB_LIST_PARAMETERS,
)
_route(
    "POST /jobs",
    "jobs.dispatch_job",
    Role.OPERATOR,
    accepted("Saved, and sent to a worker", "JobSummary", DISPATCH_HEADERS),
    (*DISPATCH_PROBLEMS, "idempotency-conflict"),
    body="NewJob",
    parameters=(IDEMPOTENCY_KEY,),
)
_route(
    "POST /jobs/bulk",
    "jobs.dispatch_jobs",
    Role.OPERATOR,
    ok("The result of each job, in the order of the request", "BulkResults", REPEAT_HEADERS),
    ("invalid-jobs", "runner-cannot-resend", "queue-full", "quota-reached"),
    body="BulkData",
    parameters=(REQUIRED_KEY,),
)
_route(
    "POST /batches",
    "batches.dispatch_batch",
    Role.OPERATOR,
    accepted("Saved, and sent to a worker", "Batch", BATCH_HEADERS),
    (
        "invalid-members",
        "runner-cannot-resend",
        "queue-full",
        "quota-reached",
        "idempotency-conflict",
    ),
    body="BatchData",
    parameters=(REQUIRED_KEY,),
)
_route(
    "GET /batches/<job_id>",
    "batches.get_batch",
    Role.VIEWER,
    ok("The batch", "Batch", POLL_HEADERS),
    ("job-not-found", "payload-gone"),
)
_route(
    "GET /batches/<job_id>/members",
    "batches.list_batch_members",
    Role.VIEWER,
    ok("A page of the members, in their order", "MemberPage"),
    ("job-not-found", "payload-gone"),
    parameters=MEMBER_PARAMETERS,
)
_route(
    "GET /jobs/<job_id>",
    "jobs.get_job",
    Role.VIEWER,
    ok("The job", "Job", POLL_HEADERS),
    ("job-not-found",),
)
_route(
    "DELETE /jobs/<job_id>",
    "job_actions.delete_job",
    Role.OPERATOR,
    deleted("Deleted"),
    CHANGE_PROBLEMS,
)
_route(
    "GET /jobs/<job_id>/place",
    "job_details.get_place",
    Role.VIEWER,
    ok("Its position in line", "Place", POLL_HEADERS),
    ("job-not-found",),
)
_route(
    "GET /jobs/<job_id>/children",
    "job_details.list_children",
    Role.VIEWER,
    ok("A page of the jobs that it has dispatched", "ChildPage"),
    ("job-not-found",),
    parameters=PAGE_PARAMETERS,
)
_route(
    "GET /jobs/<job_id>/groups",
    "job_details.list_groups",
    Role.VIEWER,
    ok("Its groups, by name", "Groups"),
    ("job-not-found",),
)
_route(
    "GET /jobs/<job_id>/timeline",
    "job_details.get_timeline",
    Role.VIEWER,
    ok("Its invocations, steps and waits, in the order of time", "Timeline"),
    ("job-not-found",),
)
_route(
    "GET /jobs/<job_id>/logs",
    "job_details.read_logs",
    Role.OPERATOR,
    ok("Its lines, or only those of its latest invocation if there are too many", "Logs"),
    ("job-not-found", "logs-not-readable"),
)
_route(
    "POST /jobs/<job_id>/rerun",
    "job_actions.rerun_job",
    Role.OPERATOR,
    accepted("The new job", "JobSummary", DISPATCH_HEADERS),
    (
        *DISPATCH_PROBLEMS,
        "job-not-found",
        "wrong-state",
        "payload-gone",
        "invalid-request",
        "idempotency-conflict",
        "rerun-refused",
    ),
    body="RerunFields",
    needs_body=False,
    parameters=(IDEMPOTENCY_KEY,),
)
_route(
    "POST /jobs/<job_id>/cancel",
    "job_actions.cancel_job",
    Role.OPERATOR,
    ok("Canceled", "JobSummary")
    | accepted(
        "It stops at its next checkpoint, or once its members have ended",
        "JobSummary",
        POLL_HEADERS,
    ),
    CHANGE_PROBLEMS,
    parameters=WITH_MEMBERS,
)
_route(
    "POST /jobs/<job_id>/retry",
    "job_actions.retry_job",
    Role.OPERATOR,
    accepted("Queued again", "JobSummary", POLL_HEADERS),
    (*CHANGE_PROBLEMS, *RUN_PROBLEMS, "payload-gone", "unique-conflict"),
    body="RetryData",
    needs_body=False,
)
_route(
    "GET /error-groups",
    "error_groups.list_error_groups",
    Role.VIEWER,
    ok("The error groups, most recently seen first", "ErrorGroups"),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "PUT /error-groups/<error_group_id>",
    "error_groups.change_error_group",
    Role.OPERATOR,
    ok("The error group", "ErrorGroup"),
    ("error-group-not-found",),
    body="FailureData",
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "PUT /jobs/<job_id>/signals/<name>",
    "job_actions.signal_job",
    Role.OPERATOR,
    ok("Stored now, or earlier with the same value", "JobSummary", POLL_HEADERS),
    ("job-not-found", "signal-conflict", "signal-too-late", "too-many-signals", "signal-busy"),
    body="SignalData",
)
_route("GET /answers/<token>", "answers.get_answer", OPEN)
_route(
    "POST /answers/<token>",
    "answers.answer_question",
    OPEN,
    ok("Answered now, or before in the same way", "Answered"),
    ("link-not-found", "already-answered", "link-over", "signal-busy"),
    body="AnswerData",
)
_route(
    "PUT /uploads/<name>",
    "uploads.put_upload",
    Role.OPERATOR,
    {201: ("Stored", "Upload", ())},
    ("unreadable-body", "too-large", "invalid-request"),
    takes_file=True,
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "GET /paused", "pauses.list_paused", Role.VIEWER, ok("Paused job types and queues", "Paused")
)
_route(
    "PUT /paused/<kind>/<name>",
    "pauses.pause",
    Role.SERVICE,
    ok("Paused", "Pause"),
    (
        "path-not-found",
        "invalid-request",
        "unknown-job-type",
        "runner-cannot-resend",
        "too-many-paused",
        "moved-meanwhile",
    ),
)
_route(
    "DELETE /paused/<kind>/<name>",
    "pauses.resume",
    Role.SERVICE,
    deleted("Not paused"),
    ("path-not-found", "invalid-request", "runner-cannot-resend"),
)
_route(
    "GET /queues",
    "queues.list_queues",
    Role.VIEWER,
    ok("A page of queues, by name", "QueuePage"),
    parameters=PAGE_PARAMETERS,
)
_route(
    "GET /backlog",
    "queues.get_backlog",
    Role.VIEWER,
    ok("The counts by queue and job type", "Backlog"),
    parameters=ORGANIZATION_OR_ALL,
)
_route(
    "GET /queues/<name>",
    "queues.get_queue",
    Role.VIEWER,
    ok("The queue, with a page of its keys", "Queue"),
    ("queue-not-found",),
    parameters=PAGE_PARAMETERS,
)
_route(
    "PUT /queues/<name>",
    "queues.limit_queue",
    Role.SERVICE,
    ok("Its limits, active within 10 seconds", "QueueLimits"),
    ("nothing-limited", "too-many-limited", "runner-cannot-resend"),
    body="LimitsData",
)
_route(
    "DELETE /queues/<name>",
    "queues.reset_queue",
    Role.SERVICE,
    deleted("Its limits are those declared in code"),
    ("invalid-request", "runner-cannot-resend"),
)
_route(
    "GET /schedules",
    "schedules.list_schedules",
    Role.VIEWER,
    ok("A page of schedules, by name", "SchedulePage"),
    parameters=(*ORGANIZATION_PARAMETER, *PAGE_PARAMETERS),
)
_route(
    "GET /schedules/<name>",
    "schedules.get_schedule",
    Role.VIEWER,
    ok("The schedule", "Schedule"),
    ("schedule-not-found",),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "PUT /schedules/<name>",
    "schedules.put_schedule",
    Role.OPERATOR,
    replaced_or_created("Schedule"),
    (*RUN_PROBLEMS, "declared-in-code", "too-many-schedules", "schedule-busy"),
    body="ScheduleData",
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "DELETE /schedules/<name>",
    "schedules.delete_schedule",
    Role.OPERATOR,
    deleted("Deleted"),
    ("schedule-not-found", "declared-in-code", "schedule-busy"),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "PUT /schedules/<name>/paused",
    "schedules.pause_schedule",
    Role.OPERATOR,
    ok("Paused", "Schedule"),
    ("schedule-not-found", *BODY_PROBLEMS, "schedule-busy"),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "DELETE /schedules/<name>/paused",
    "schedules.resume_schedule",
    Role.OPERATOR,
    ok("Not paused", "Schedule"),
    ("schedule-not-found", "invalid-request", "schedule-busy"),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "POST /schedules/<name>/run",
    "schedules.run_schedule",
    Role.OPERATOR,
    accepted("The new job", "JobSummary", DISPATCH_HEADERS),
    (*DISPATCH_PROBLEMS, *BODY_PROBLEMS, "schedule-not-found", "idempotency-conflict"),
    parameters=(*ORGANIZATION_PARAMETER, IDEMPOTENCY_KEY),
)
_route(
    "GET /webhooks",
    "webhooks.list_webhooks",
    Role.OPERATOR,
    ok("The webhooks, by name", "Webhooks"),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "PUT /webhooks/<name>",
    "webhooks.put_webhook",
    Role.OPERATOR,
    replaced_or_created("Webhook"),
    ("unknown-job-type", "runner-cannot-resend", "webhooks-off", "too-many-webhooks"),
    body="WebhookData",
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "DELETE /webhooks/<name>",
    "webhooks.delete_webhook",
    Role.OPERATOR,
    deleted("Deleted"),
    ("webhook-not-found",),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "POST /webhooks/<name>/test",
    "webhooks.test_webhook",
    Role.OPERATOR,
    accepted("The job that delivers the test", "JobSummary", DISPATCH_HEADERS),
    (*DISPATCH_PROBLEMS, *BODY_PROBLEMS, "webhook-not-found"),
    parameters=ORGANIZATION_PARAMETER,
)
_route(
    "GET /job-types", "job_types.list_job_types", Role.VIEWER, ok("Every job and task", "JobTypes")
)
_route("GET /health", "table.get_health", OPEN, ok("The API is up", "Health"))
_route("GET /openapi.json", "table.get_openapi", Role.VIEWER, ok("This document", "OpenApi"))
