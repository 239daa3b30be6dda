"""The methods of Client for an organization's schedules, webhooks and error groups."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from job_runners.client.base_client import PAGE_SIZE, BaseClient
from job_runners.client.models import Job
from job_runners.client.organization_models import ErrorGroup, Schedule, Webhook


class OrganizationClient(BaseClient):
    """The methods of Client for schedules, webhooks and error groups. Programs use Client."""

    # --- schedules --------------------------------------------------------------------------------

    def schedules(
        self, *, organization_id: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[Schedule]:
        """Yield the organization's schedules by name, without their payloads."""
        parameters = {"organization_id": organization_id or self._organization, "limit": page_size}
        return self._list("/schedules", "schedules", parameters, Schedule.of)

    def schedule(self, name: str, *, organization_id: str | None = None) -> Schedule:
        """Return a schedule with its payload. Raises NotFound."""
        path = self._organization_path("schedules", name, organization_id)
        return Schedule.of(self._call("GET", path))

    def put_schedule(
        self,
        name: str,
        job_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        cron: str | None = None,
        every: float | timedelta | None = None,
        timezone: str | None = None,
        missed: str | int = "one",
        overlap: str = "skip",
        organization_id: str | None = None,
    ) -> Schedule:
        """Create or replace a schedule, and return it. A paused schedule stays paused.

        The schedule dispatches a job at the times of `cron` in `timezone`, or every `every`
        seconds. `missed` says which missed occurrences to start late: "skip" (none), "one" (the
        latest) or a number. `overlap` is the action while the previous job is unfinished: "skip",
        "queue" or "allow". Raises InvalidRequest, and Conflict for a schedule declared in code.
        """
        if isinstance(every, timedelta):
            every = every.total_seconds()
        if every is not None and every % 1:
            raise ValueError(f"every={every!r} must be whole seconds.")
        fields = {
            "job_type": job_type,
            "payload": dict(payload or {}),
            "cron": cron,
            "every": None if every is None else int(every),
            "timezone": timezone,
            "missed": missed,
            "overlap": overlap,
        }
        body = {key: value for key, value in fields.items() if value is not None}
        path = self._organization_path("schedules", name, organization_id)
        return Schedule.of(self._call("PUT", path, body))

    def pause_schedule(self, name: str, *, organization_id: str | None = None) -> Schedule:
        """Pause a schedule, and return it. Occurrences are skipped until you resume it.

        Raises NotFound.
        """
        path = self._organization_path("schedules", name, organization_id, "/paused")
        return Schedule.of(self._call("PUT", path))

    def resume_schedule(self, name: str, *, organization_id: str | None = None) -> Schedule:
        """Resume a paused schedule, and return it. Raises NotFound."""
        path = self._organization_path("schedules", name, organization_id, "/paused")
        return Schedule.of(self._call("DELETE", path))

    def delete_schedule(self, name: str, *, organization_id: str | None = None) -> None:
        """Delete a schedule. Its jobs remain.

        Raises NotFound, and Conflict for a schedule declared in code.
        """
        self._delete(self._organization_path("schedules", name, organization_id))

    # --- webhooks ---------------------------------------------------------------------------------

    def webhooks(self, *, organization_id: str | None = None) -> tuple[Webhook, ...]:
        """Return the organization's webhooks, ordered by name."""
        path = self._organization_path("webhooks", None, organization_id)
        body = self._call("GET", path)
        return tuple(Webhook.of(webhook) for webhook in body["webhooks"])

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
        path = self._organization_path("webhooks", name, organization_id)
        return Webhook.of(self._call("PUT", path, body))

    def delete_webhook(self, name: str, *, organization_id: str | None = None) -> None:
        """Delete a webhook. Events that it has not accepted yet are not sent again.

        Raises NotFound.
        """
        self._delete(self._organization_path("webhooks", name, organization_id))

    def test_webhook(self, name: str, *, organization_id: str | None = None) -> Job:
        """Send a test event to a webhook. Return the job that delivers it. Raises NotFound.

        If the call has to be repeated, the webhook may get two test events.
        """
        path = self._organization_path("webhooks", name, organization_id, "/test")
        return Job.of(self._call("POST", path))

    # --- error groups -----------------------------------------------------------------------------

    def error_groups(self, *, organization_id: str | None = None) -> tuple[ErrorGroup, ...]:
        """Return at most 500 of the organization's error groups, most recently seen first."""
        path = self._organization_path("error-groups", None, organization_id)
        groups = self._call("GET", path)["error_groups"]
        return tuple(ErrorGroup.of(group) for group in groups)

    def note_error_group(
        self, error_group_id: str, note: str | None, *, organization_id: str | None = None
    ) -> ErrorGroup:
        """Set or remove the note of an error group, and return the group.

        Raises NotFound.
        """
        return self._change_error_group(error_group_id, {"note": note}, organization_id)

    def resolve_error_group(
        self, error_group_id: str, *, resolved: bool = True, organization_id: str | None = None
    ) -> ErrorGroup:
        """Mark an error group as resolved, or not, and return it. Raises NotFound.

        If a resolved group fails again, it becomes `regressed`.
        """
        return self._change_error_group(error_group_id, {"resolved": resolved}, organization_id)

    def _change_error_group(
        self, error_group_id: str, changes: dict[str, Any], organization_id: str | None
    ) -> ErrorGroup:
        path = self._organization_path("error-groups", error_group_id, organization_id)
        return ErrorGroup.of(self._call("PUT", path, changes))
