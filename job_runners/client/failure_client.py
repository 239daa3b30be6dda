"""The client's calls about error groups."""

from typing import Any
from urllib.parse import urlencode

from job_runners.client.base_client import BaseClient, part
from job_runners.client.failure_models import Failure


class FailureClient(BaseClient):
    """The calls about error groups. Use Client instead."""

    def failures(self, *, organization_id: str | None = None) -> tuple[Failure, ...]:
        """Return at most 500 of the organization's error groups, most recently seen first."""
        path = f"/failures{self._organization_query(organization_id)}"
        groups = self._object(self._api.read(path))["failures"]
        return tuple(Failure.of(group) for group in groups)

    def note_failure(
        self, failure_id: str, note: str | None, *, organization_id: str | None = None
    ) -> Failure:
        """Set or remove the note of an error group, and return the group.

        Raises FailureNotFound.
        """
        return self._change_failure(failure_id, {"note": note}, organization_id)

    def resolve_failure(
        self, failure_id: str, *, resolved: bool = True, organization_id: str | None = None
    ) -> Failure:
        """Mark an error group as resolved, or not, and return it. Raises FailureNotFound.

        If a resolved group fails again, it becomes `regressed`.
        """
        return self._change_failure(failure_id, {"resolved": resolved}, organization_id)

    def _change_failure(
        self, failure_id: str, changes: dict[str, Any], organization_id: str | None
    ) -> Failure:
        path = f"/failures/{part(failure_id)}{self._organization_query(organization_id)}"
        return Failure.of(self._object(self._api.call("PUT", path, changes)))

    def _organization_query(self, organization_id: str | None) -> str:
        organization = organization_id or self._organization
        return f"?{urlencode({'organization_id': organization})}" if organization else ""
