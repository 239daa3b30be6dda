"""The built-in job that announces another job's end.

When a job ends, the engine dispatches this job as its follow-up (`job_runners.store.follow_ups`).
This job sends an event to the stack's EventBridge bus and its SNS topic. For each webhook, it
dispatches another job, which sends the event and retries for three days.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from job_runners.errors import DoNotRetry
from job_runners.settings import settings
from job_runners.shipped.jobs import outputs
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import webhooks
from job_runners.work import JobEnded, RunningJob

VERSION = 1  # of the event's format; a new version may only add fields


class Receiver(BaseModel):
    """A webhook's URL, and the name of the secret that signs its events."""

    model_config = ConfigDict(defer_build=True)

    url: str
    secret: str


class Announcement(JobEnded):
    """A job that has ended, and its own webhook, if the job was dispatched with one."""

    webhook: Receiver | None = None


def announce(job: RunningJob, payload: Announcement) -> dict[str, Any]:
    """Send the event to the job's own webhook, if it has one.

    Otherwise, send it to the organization's webhooks, and to the stack's event bus and topic. A
    receiver may get an event twice, with the same id.
    """
    if job.follow_up_of is None:
        raise DoNotRetry("This job follows up no other job, so there is no end to announce.")
    # The ids choose the receivers. A payload could name any job, so use the ids in this job's row.
    ids = {"job_id": job.follow_up_of, "organization_id": job.organization_id}
    ended_job = payload.model_copy(update=ids)
    event = _event(job.id, ended_job)
    if payload.webhook is not None:
        receiver = payload.webhook.model_dump()
        delivery = {**receiver, "body": event, "event_id": event["id"]}
        return {"delivery": job.dispatch(Jobs.POST_WEBHOOK, delivery, key="webhook")}
    deliveries = {}
    if settings().webhook_subscriptions:
        deliveries = _dispatch_deliveries(job, ended_job, event)
    bus, topic = settings().event_bus, settings().outcome_topic
    if bus is not None:
        job.step("event bus", lambda: outputs.put_event(bus, event))
    if topic is not None:
        job.step("topic", lambda: outputs.publish(topic, event))
    return {"deliveries": deliveries, "event_bus": bus, "topic": topic}


def _dispatch_deliveries(
    job: RunningJob, ended_job: JobEnded, event: dict[str, Any]
) -> dict[str, str]:
    """Dispatch a job for each webhook that subscribes to the event.

    Return the ids of these jobs by the name of the webhook.
    """
    return {
        webhook.name: job.dispatch(
            Jobs.DELIVER_WEBHOOK,
            {"webhook": webhook.name, "body": event, "event_id": event["id"]},
            key=f"webhook {webhook.name}",
        )
        for webhook in webhooks.of_organization(job.organization_id)
        if webhook.receives(ended_job.job_type, ended_job.status)
    }


def _event(event_id: str, ended_job: JobEnded) -> dict[str, Any]:
    """Return the event, whose format is the same for all receivers."""
    data = ended_job.model_dump(mode="json", include=set(JobEnded.model_fields))
    return {
        "version": VERSION,
        "id": event_id,
        "type": f"job.{ended_job.status}",
        "timestamp": data["finished_at"],
        "data": data,
    }
