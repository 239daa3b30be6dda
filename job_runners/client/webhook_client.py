"""The client's calls about an organization's webhooks."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from job_runners.client.base_client import BaseClient, part
from job_runners.client.errors import NotFound
from job_runners.client.models import Job
from job_runners.client.webhook_models import Webhook


class WebhookClient(BaseClient):
    """The calls about webhooks. Use Client instead."""

    def webhooks(self, *, organization_id: str | None = None) -> tuple[Webhook, ...]:
        """Return the organization's webhooks, ordered by name."""
        body = self._object(self._api.read(self._webhook_path(None, organization_id)))
        return tuple(Webhook.of(webhook) for webhook in body["webhooks"])

    def webhook(self, name: str, *, organization_id: str | None = None) -> Webhook:
        """Return a webhook. Raises NotFound."""
        path = self._webhook_path(name, organization_id)
        return Webhook.of(self._object(self._api.read(path)))

    def put_webhook(
        self,
        name: str,
        url: str,
        secret: str,
        *,
        statuses: Sequence[str] | None = None,
        job_types: Sequence[str] | None = None,
        organization_id: str | None = None,
    ) -> Webhook:
        """Subscribe a webhook, or replace it, and return it.

        It receives an event when a job has ended with one of `statuses` ("succeeded", "failed" or
        "canceled") and has one of `job_types`. By default, it receives all. `secret` is the name of
        the secret that signs the events. Raises InvalidRequest, and Conflict if the stack has no
        subscriptions.
        """
        fields = {"url": url, "secret": secret, "statuses": statuses, "job_types": job_types}
        body = {key: value for key, value in fields.items() if value is not None}
        path = self._webhook_path(name, organization_id)
        return Webhook.of(self._object(self._api.call("PUT", path, body)))

    def delete_webhook(self, name: str, *, organization_id: str | None = None) -> None:
        """Delete a webhook. Events that it has not accepted yet are not sent again.

        Raises NotFound.
        """
        try:
            self._api.call("DELETE", self._webhook_path(name, organization_id))
        except NotFound as error:
            if not error.repeated:  # otherwise, an earlier attempt of this call deleted it
                raise

    def test_webhook(self, name: str, *, organization_id: str | None = None) -> Job:
        """Send a test event to a webhook. Return the job that delivers it. Raises NotFound.

        If the call has to be repeated, the webhook may get two test events.
        """
        path = self._webhook_path(name, organization_id, "/test")
        return Job.of(self._object(self._api.call("POST", path)))

    def _webhook_path(self, name: str | None, organization_id: str | None, suffix: str = "") -> str:
        organization = organization_id or self._organization
        parameters = {"organization_id": organization}
        query = f"?{urlencode(parameters, quote_via=quote)}" if organization else ""
        return f"/webhooks{'' if name is None else f'/{part(name)}'}{suffix}{query}"
