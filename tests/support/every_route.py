"""Every route of the API with a request that it takes, for tests of whom it turns away."""

from dataclasses import dataclass
from typing import Any

FAILED_TASK = "7" * 32  # that of a failed task whose payload is kept
LINK = "9" * 32  # the token of a link that does not exist
FAILURE = "8" * 32  # the error group of both organisations
JOB = {"job_type": "sample_once"}
SCHEDULE: dict[str, Any] = {**JOB, "every": 3600}  # what `nightly` is, of both organisations
# What `crm` is, of both organisations, each with its own secret.
WEBHOOK: dict[str, Any] = {"url": "https://hooks.example.com/jobs", "secret": "ours/main"}


@dataclass(frozen=True)
class Asked:
    """A request. `{ours}` and `{theirs}` in its path stand for the ids of jobs."""

    method: str
    path: str
    body: Any = None

    def parts(self, **ids: str) -> tuple[str, str, dict[str, Any]]:
        """For `api_events.call`."""
        path, _, query = self.path.format(**ids).partition("?")
        return self.method, path, {"body": self.body, "query": query}


@dataclass(frozen=True)
class Entry:
    """What a route takes, from whom, and requests of it that reach for another organisation's."""

    least: str | None  # the lowest role that may; None is everybody, with no token at all
    takes: Asked
    job: str = "failed"  # the state that {ours} must be in
    reaching: tuple[tuple[Asked, int], ...] = ()  # and the status that each gets


def _on_a_schedule(method: str, verb: str, least: str, body: Any = None) -> Entry:
    path = f"/schedules/nightly{verb}"
    theirs = Asked(method, f"{path}?organization_id=theirs", body)
    takes = Asked(method, f"{path}?organization_id=ours", body)
    return Entry(least, takes, reaching=((theirs, 403),))


def _on_a_webhook(method: str, verb: str, body: Any = None) -> Entry:
    path = f"/webhooks/crm{verb}"
    theirs = Asked(method, f"{path}?organization_id=theirs", body)
    takes = Asked(method, f"{path}?organization_id=ours", body)
    return Entry("operator", takes, reaching=((theirs, 403),))


def _on_a_job(method: str, verb: str, least: str, job: str = "failed") -> Entry:
    theirs = Asked(method, f"/jobs/{{theirs}}{verb}")
    return Entry(least, Asked(method, f"/jobs/{{ours}}{verb}"), job, ((theirs, 404),))


def _on_a_batch(method: str, verb: str, least: str) -> Entry:
    theirs = Asked(method, f"/batches/{{theirs}}{verb}")
    return Entry(least, Asked(method, f"/batches/{{ours}}{verb}"), "batch", ((theirs, 404),))


BATCH = {"members": [JOB], "idempotency_key": "b"}
_SIGNAL = {"value": {"ok": True}}
EVERY_ROUTE = {
    ("/jobs/<job_id>/signals/<name>", "PUT"): Entry(
        "operator",
        Asked("PUT", "/jobs/{ours}/signals/approval", _SIGNAL),
        "queued",
        ((Asked("PUT", "/jobs/{theirs}/signals/approval", _SIGNAL), 404),),
    ),
    ("/answers/<token>", "GET"): Entry(None, Asked("GET", f"/answers/{LINK}")),
    ("/answers/<token>", "POST"): Entry(None, Asked("POST", f"/answers/{LINK}", {"choice": "yes"})),
    ("/", "GET"): Entry(None, Asked("GET", "/")),
    ("/assets/<version>/<name>", "GET"): Entry(None, Asked("GET", "/assets/1/app.js")),
    ("/tasks", "POST"): Entry("service", Asked("POST", "/tasks", {"task_name": "sample_note"})),
    ("/tasks/failed", "GET"): Entry("service", Asked("GET", "/tasks/failed")),
    ("/tasks/failed/<task_id>/redrive", "POST"): Entry(
        "service", Asked("POST", f"/tasks/failed/{FAILED_TASK}/redrive")
    ),
    ("/jobs", "GET"): Entry(
        "viewer",
        Asked("GET", "/jobs?organization_id=ours"),
        reaching=((Asked("GET", "/jobs?organization_id=theirs"), 403),),
    ),
    ("/jobs", "POST"): Entry(
        "operator",
        Asked("POST", "/jobs", JOB),
        reaching=((Asked("POST", "/jobs", {**JOB, "organization_id": "theirs"}), 403),),
    ),
    ("/jobs/bulk", "POST"): Entry(
        "operator",
        Asked("POST", "/jobs/bulk", {"jobs": [JOB], "idempotency_key": "k"}),
        reaching=(
            (
                Asked(
                    "POST",
                    "/jobs/bulk",
                    {"jobs": [JOB, {**JOB, "organization_id": "theirs"}], "idempotency_key": "k"},
                ),
                403,
            ),
        ),
    ),
    ("/batches", "POST"): Entry(
        "operator",
        Asked("POST", "/batches", BATCH),
        reaching=((Asked("POST", "/batches", {**BATCH, "organization_id": "theirs"}), 403),),
    ),
    ("/batches/<job_id>", "GET"): _on_a_batch("GET", "", "viewer"),
    ("/batches/<job_id>/members", "GET"): _on_a_batch("GET", "/members", "viewer"),
    ("/jobs/<job_id>", "GET"): _on_a_job("GET", "", "viewer"),
    ("/jobs/<job_id>", "DELETE"): _on_a_job("DELETE", "", "operator"),
    ("/jobs/<job_id>/children", "GET"): _on_a_job("GET", "/children", "viewer"),
    ("/jobs/<job_id>/groups", "GET"): _on_a_job("GET", "/groups", "viewer"),
    ("/jobs/<job_id>/timeline", "GET"): _on_a_job("GET", "/timeline", "viewer"),
    ("/jobs/<job_id>/logs", "GET"): _on_a_job("GET", "/logs", "operator"),
    ("/jobs/<job_id>/rerun", "POST"): _on_a_job("POST", "/rerun", "operator"),
    ("/jobs/<job_id>/cancel", "POST"): _on_a_job("POST", "/cancel", "operator", "queued"),
    ("/jobs/<job_id>/retry", "POST"): _on_a_job("POST", "/retry", "operator"),
    ("/jobs/<job_id>/place", "GET"): _on_a_job("GET", "/place", "viewer"),
    ("/uploads/<name>", "PUT"): Entry(
        "operator",
        Asked("PUT", "/uploads/list.csv?organization_id=ours", {"any": "content"}),
        reaching=((Asked("PUT", "/uploads/list.csv?organization_id=theirs"), 403),),
    ),
    ("/backlog", "GET"): Entry(
        "viewer",
        Asked("GET", "/backlog?organization_id=ours"),
        reaching=((Asked("GET", "/backlog?organization_id=theirs"), 403),),
    ),
    ("/queues", "GET"): Entry("viewer", Asked("GET", "/queues")),
    ("/queues/<name>", "GET"): Entry(
        "viewer",
        Asked("GET", "/queues/default"),
        reaching=((Asked("GET", "/queues/of-others"), 404),),
    ),
    ("/queues/<name>", "PUT"): Entry("service", Asked("PUT", "/queues/default", {"slots": 3})),
    ("/queues/<name>", "DELETE"): Entry("service", Asked("DELETE", "/queues/default")),
    ("/error-groups", "GET"): Entry(
        "viewer",
        Asked("GET", "/error-groups?organization_id=ours"),
        reaching=((Asked("GET", "/error-groups?organization_id=theirs"), 403),),
    ),
    ("/error-groups/<error_group_id>", "PUT"): Entry(
        "operator",
        Asked("PUT", f"/error-groups/{FAILURE}?organization_id=ours", {"resolved": True}),
        reaching=(
            (
                Asked("PUT", f"/error-groups/{FAILURE}?organization_id=theirs", {"resolved": True}),
                403,
            ),
        ),
    ),
    ("/paused", "GET"): Entry("viewer", Asked("GET", "/paused")),
    ("/paused/<kind>/<name>", "PUT"): Entry("service", Asked("PUT", "/paused/queue/default")),
    ("/paused/<kind>/<name>", "DELETE"): Entry("service", Asked("DELETE", "/paused/queue/default")),
    ("/schedules", "GET"): Entry(
        "viewer",
        Asked("GET", "/schedules?organization_id=ours"),
        reaching=((Asked("GET", "/schedules?organization_id=theirs"), 403),),
    ),
    ("/schedules/<name>", "GET"): _on_a_schedule("GET", "", "viewer"),
    ("/schedules/<name>", "PUT"): _on_a_schedule("PUT", "", "operator", SCHEDULE),
    ("/schedules/<name>", "DELETE"): _on_a_schedule("DELETE", "", "operator"),
    ("/schedules/<name>/paused", "PUT"): _on_a_schedule("PUT", "/paused", "operator"),
    ("/schedules/<name>/paused", "DELETE"): _on_a_schedule("DELETE", "/paused", "operator"),
    ("/schedules/<name>/run", "POST"): _on_a_schedule("POST", "/run", "operator"),
    ("/webhooks", "GET"): Entry(
        "operator",
        Asked("GET", "/webhooks?organization_id=ours"),
        reaching=((Asked("GET", "/webhooks?organization_id=theirs"), 403),),
    ),
    ("/webhooks/<name>", "PUT"): _on_a_webhook("PUT", "", WEBHOOK),
    ("/webhooks/<name>", "DELETE"): _on_a_webhook("DELETE", ""),
    ("/webhooks/<name>/test", "POST"): _on_a_webhook("POST", "/test"),
    ("/job-types", "GET"): Entry("viewer", Asked("GET", "/job-types")),
    ("/openapi.json", "GET"): Entry("viewer", Asked("GET", "/openapi.json")),
    ("/health", "GET"): Entry(None, Asked("GET", "/health")),
}
