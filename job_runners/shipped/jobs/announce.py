"""The built-in job that tells other systems that a job has ended: webhooks, a bus and a topic.

It is dispatched as a follow-up of that job (`job_runners.store.follow_ups`). Each webhook is
delivered by a separate job, which tries for three days.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from job_runners.errors import DoNotRetry
from job_runners.settings import settings
from job_runners.shipped.jobs import outputs
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import webhooks
from job_runners.work import JobEnded, RunningJob

VERSION = 1  # of the event; a new version may only add fields


class Receiver(BaseModel):
    """A webhook, and the name of the secret that signs its events."""

    model_config = ConfigDict(defer_build=True)

    url: str
    secret: str


class Announcement(JobEnded):
    """A job that has ended, and the webhook that its dispatch named, if any."""

    webhook: Receiver | None = None


def announce(job: RunningJob, payload: Announcement) -> dict[str, Any]:
    """Tell the webhook that the dispatch named, if it named one.

    Otherwise, tell the organization's webhooks, and the stack's event bus and topic. A receiver may
    get an event twice, with the same id.
    """
    if job.follow_up_of is None:
        raise DoNotRetry("This job follows up no other job, so there is no end to announce.")
    # Don't trust the payload's ids: the row's decide who gets the event.
    ids = {"job_id": job.follow_up_of, "organization_id": job.organization_id}
    payload = payload.model_copy(update=ids)
    event = event_of(job.id, payload)
    if payload.webhook is not None:
        receiver = payload.webhook.model_dump()
        delivery = {**receiver, "body": event, "event_id": event["id"]}
        return {"delivery": job.dispatch(Jobs.POST_WEBHOOK, delivery, key="webhook")}
    deliveries = _deliver(job, payload, event) if settings().webhook_subscriptions else {}
    bus, topic = settings().event_bus, settings().outcome_topic
    if bus is not None:
        job.step("event bus", lambda: outputs.put_event(bus, event))
    if topic is not None:
        job.step("topic", lambda: outputs.publish(topic, event))
    return {"deliveries": deliveries, "event_bus": bus, "topic": topic}


def _deliver(job: RunningJob, ended: JobEnded, event: dict[str, Any]) -> dict[str, str]:
    """Dispatch a delivery to each webhook that subscribes to it. Return the ids by webhook."""
    return {
        webhook.name: job.dispatch(
            Jobs.DELIVER_WEBHOOK,
            {"webhook": webhook.name, "body": event, "event_id": event["id"]},
            key=f"webhook {webhook.name}",
        )
        for webhook in webhooks.of_organization(job.organization_id)
        if webhook.receives(ended.job_type, ended.status)
    }


def event_of(event_id: str, ended: JobEnded) -> dict[str, Any]:
    """Return the event that a job has ended. Its shape is the same for all receivers."""
    data = ended.model_dump(mode="json", include=set(JobEnded.model_fields))
    return {
        "version": VERSION,
        "id": event_id,
        "type": f"job.{ended.status}",
        "timestamp": data["finished_at"],
        "data": data,
    }
