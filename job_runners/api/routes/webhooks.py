"""The endpoints of the webhooks that are called when an organization's jobs end.

The functions import the modules of webhooks when they run, because few requests need them.
"""

from typing import TYPE_CHECKING

from job_runners import clock, names, runners
from job_runners.api import requests, setting_requests, views
from job_runners.api.access import Caller, Event
from job_runners.api.json_schema import build_view
from job_runners.api.query import organization_query
from job_runners.api.responses import Response, no_content, respond
from job_runners.engine.dispatch.dispatch import dispatch_checked, refuse_if_too_many
from job_runners.engine.errors import TooManyWebhooks, WebhookNotFound, WebhooksOff
from job_runners.engine.job_data import JobData
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import require_sender
from job_runners.settings import settings
from job_runners.shipped.jobs.names import Jobs
from job_runners.store.job_request import new_id
from job_runners.work import context

if TYPE_CHECKING:
    from job_runners.store.webhooks import Webhook


def list_webhooks(event: Event, caller: Caller) -> Response:
    """List the webhooks of an organization, by name. Each gets an event when a job has ended."""
    from job_runners.api.webhook_views import WEBHOOK
    from job_runners.store import webhooks

    listed = webhooks.of_organization(organization_query(event, caller))
    webhook_views = [build_view(WEBHOOK, webhook) for webhook in listed]
    return respond(200, {"webhooks": webhook_views})


def put_webhook(event: Event, caller: Caller, name: str) -> Response:
    """Subscribe a webhook, or replace it. It is called for jobs that are dispatched 10 seconds
    later or after that. Undelivered events go to the new URL. The status is 201 for a new
    webhook, and 200 for a replaced one."""
    from job_runners.api.webhook_views import WEBHOOK
    from job_runners.store import webhooks

    organization_id = organization_query(event, caller)
    requests.check_name(name)
    data = setting_requests.webhook_data(event, organization_id)
    if not settings().webhook_subscriptions:
        raise WebhooksOff
    require_sender(runners.sender(), Jobs.DELIVER_WEBHOOK, "has a retry policy")
    existing_names = {webhook.name for webhook in webhooks.of_organization(organization_id)}
    is_new = name not in existing_names
    if is_new and len(existing_names) >= webhooks.MAX_WEBHOOKS:
        raise TooManyWebhooks(webhooks.MAX_WEBHOOKS)
    author = context.recorded_author()
    webhook = webhooks.put(organization_id, name, by=author, **data.model_dump())
    telemetry.webhook_changed(organization_id, name, "webhook put")
    return respond(201 if is_new else 200, build_view(WEBHOOK, webhook))


def delete_webhook(event: Event, caller: Caller, name: str) -> Response:
    """Delete a webhook. Events that it has not accepted yet are not sent again."""
    from job_runners.store import webhooks

    organization_id = organization_query(event, caller)
    if not names.is_name(name) or not webhooks.delete(organization_id, name):
        raise WebhookNotFound(name)
    telemetry.webhook_changed(organization_id, name, "webhook deleted")
    return no_content()


def test_webhook(event: Event, caller: Caller, name: str) -> Response:
    """Send an event of the type `webhook.test` to a webhook. Its job shows whether the webhook has
    accepted it."""
    requests.refuse_fields(event)
    organization_id = organization_query(event, caller)
    _find(organization_id, name)  # raises an error if there is no such webhook
    event_id = new_id()
    body = {
        "version": 1,
        "id": event_id,
        "type": "webhook.test",
        "timestamp": clock.iso(clock.now()),
        "data": {"organization_id": organization_id, "webhook": name},
    }
    data = JobData(
        job_type=Jobs.DELIVER_WEBHOOK,
        payload={"webhook": name, "body": body, "event_id": event_id},
        organization_id=organization_id,
    )
    checked = requests.check_internal_job(data, runners.sender())
    refuse_if_too_many([checked])
    accepted = dispatch_checked(checked)
    api_path, _, _ = event["requestContext"]["http"]["path"].rpartition("/webhooks/")
    return views.accepted_response(accepted, f"{api_path}/jobs")


def _find(organization_id: str, name: str) -> "Webhook":
    """Return the webhook with this name. Raises WebhookNotFound."""
    from job_runners.store import webhooks

    webhook = webhooks.find(organization_id, name) if names.is_name(name) else None
    if webhook is None:
        raise WebhookNotFound(name)
    return webhook
