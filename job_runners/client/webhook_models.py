"""The values about webhooks that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.client.models import time_of
from job_runners.values import Value, field


class Webhook(Value, kw_only=True):
    """A webhook that an organization has subscribed. It gets an event when a job has ended.

    `secret` is the name of the secret that signs the events. `statuses` and `job_types` say which
    ends it gets; where one is None, it gets all.
    """

    name: str
    url: str
    secret: str
    statuses: tuple[str, ...] | None = None
    job_types: tuple[str, ...] | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a webhook from the API's JSON. Raises KeyError if a required field is missing."""
        fields: dict[str, Any] = {name: value[name] for name in ("name", "url", "secret")}
        for name in ("statuses", "job_types"):
            listed = value.get(name)
            fields[name] = None if listed is None else tuple(listed)
        updated_at, updated_by = time_of(value.get("updated_at")), value.get("updated_by")
        return cls(**fields, updated_at=updated_at, updated_by=updated_by, raw=value)
