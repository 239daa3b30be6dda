"""The model of a webhook that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.from_json import FromJson
from job_runners.values import field


class Webhook(FromJson, kw_only=True):
    """A webhook that an organization has subscribed. It receives an event when a job has ended.

    `secret` is the name of the secret that signs the events. With `statuses` or `job_types`, it
    only receives events about jobs that ended with one of these statuses, or have one of these
    types.
    """

    name: str
    url: str
    secret: str
    statuses: tuple[str, ...] | None = None
    job_types: tuple[str, ...] | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
