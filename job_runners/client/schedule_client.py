"""The client's calls about schedules."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from job_runners.client.base_client import PAGE, BaseClient, part
from job_runners.client.errors import NotFound
from job_runners.client.schedule_models import Schedule


class ScheduleClient(BaseClient):
    """The calls about schedules. Use Client instead."""

    def schedules(
        self, *, organization_id: str | None = None, page_size: int = PAGE
    ) -> Iterator[Schedule]:
        """Yield the organization's schedules by name, without their payloads."""
        parameters = {"organization_id": organization_id or self._organization, "limit": page_size}
        return self._pages("/schedules", "schedules", parameters, Schedule.of)

    def schedule(self, name: str, *, organization_id: str | None = None) -> Schedule:
        """Return a schedule with its payload. Raises NotFound."""
        path = self._schedule_path(name, organization_id)
        return Schedule.of(self._object(self._api.read(path)))

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
        response = self._api.call("PUT", self._schedule_path(name, organization_id), body)
        return Schedule.of(self._object(response))

    def pause_schedule(self, name: str, *, organization_id: str | None = None) -> Schedule:
        """Pause a schedule, and return it. Occurrences are skipped until you resume it.

        Raises NotFound.
        """
        path = self._schedule_path(name, organization_id, "/paused")
        return Schedule.of(self._object(self._api.call("PUT", path)))

    def resume_schedule(self, name: str, *, organization_id: str | None = None) -> Schedule:
        """Resume a paused schedule, and return it. Raises NotFound."""
        path = self._schedule_path(name, organization_id, "/paused")
        return Schedule.of(self._object(self._api.call("DELETE", path)))

    def delete_schedule(self, name: str, *, organization_id: str | None = None) -> None:
        """Delete a schedule. Its jobs remain.

        Raises NotFound, and Conflict for a schedule declared in code.
        """
        try:
            self._api.call("DELETE", self._schedule_path(name, organization_id))
        except NotFound as error:
            if not error.repeated:  # otherwise, an earlier attempt of this call deleted it
                raise

    def _schedule_path(self, name: str, organization_id: str | None, suffix: str = "") -> str:
        organization = organization_id or self._organization
        parameters = {"organization_id": organization}
        query = f"?{urlencode(parameters, quote_via=quote)}" if organization else ""
        return f"/schedules/{part(name)}{suffix}{query}"
