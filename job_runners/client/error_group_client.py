"""The client's calls about error groups."""

from typing import Any
from urllib.parse import urlencode

from job_runners.client.base_client import BaseClient, part
from job_runners.client.error_group_models import ErrorGroup


class ErrorGroupClient(BaseClient):
    """The calls about error groups. Use Client instead."""

    def error_groups(self, *, organization_id: str | None = None) -> tuple[ErrorGroup, ...]:
        """Return at most 500 of the organization's error groups, most recently seen first."""
        path = f"/error-groups{self._organization_query(organization_id)}"
        groups = self._object(self._api.read(path))["error_groups"]
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
        path = f"/error-groups/{part(error_group_id)}{self._organization_query(organization_id)}"
        return ErrorGroup.of(self._object(self._api.call("PUT", path, changes)))

    def _organization_query(self, organization_id: str | None) -> str:
        organization = organization_id or self._organization
        return f"?{urlencode({'organization_id': organization})}" if organization else ""
