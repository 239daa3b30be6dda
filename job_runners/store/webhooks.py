"""The webhooks of organizations. A webhook is called when a matching job of its organization ends.

Each webhook is an item of the coordination table. The dispatch of a job reads the organization's
webhooks, and stores in the job's row which final statuses must be announced. When the job has
ended, the built-in job `announce` reads the webhooks again to find the receivers.
"""

from collections.abc import Iterable
from typing import Any

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from job_runners import caches, clock
from job_runners.aws.errors import try_write
from job_runners.store.job_request import Status
from job_runners.store.table import CoordinationItem, Integer, nullable

# Each process that dispatches jobs reads the webhooks again after this time. From then on, a new
# webhook is called for all dispatched jobs.
CACHE_TIME = 10 * clock.SECOND
MAX_WEBHOOKS = 20  # per organization, because each of them may receive the end of the same job
ENDS = tuple(str(status) for status in Status if status.finished)
_MAX_CACHED = 1000  # organizations


def partition_of(organization_id: str) -> str:
    """Return the DynamoDB partition of an organization's webhooks."""
    return f"webhooks#{organization_id}"


class Webhook(CoordinationItem):
    """A URL that gets a request when certain jobs end."""

    counted_as = "webhooks"
    partition_of = staticmethod(partition_of)

    pk = UnicodeAttribute(hash_key=True)  # "webhooks#" and the organization
    sk = UnicodeAttribute(range_key=True)  # its name
    url = UnicodeAttribute()
    secret = UnicodeAttribute()  # the name of a signing secret
    statuses = JSONAttribute(null=True)  # the statuses that it receives, or None for all
    job_types = JSONAttribute(null=True)  # the job types that it receives, or None for all
    updated_at = Integer()
    updated_by = nullable(UnicodeAttribute())  # as "role:name"

    @property
    def name(self) -> str:
        """Return the name of the webhook."""
        return self.sk

    def receives(self, job_type: str, status: str) -> bool:
        """Return whether the webhook receives the end of a job of this type with this status."""
        has_type = not self.job_types or job_type in self.job_types
        has_status = status in (self.statuses or ENDS)
        return has_type and has_status


def of_organization(organization_id: str) -> list[Webhook]:
    """Return the webhooks of an organization, ordered by name."""
    return list(Webhook.query(partition_of(organization_id), consistent_read=True))


def announced_ends(organization_id: str, job_type: str) -> list[str]:
    """Return the statuses with which the end of a job of this type must be announced.

    For each of them, at least one webhook of the organization receives such ends. The webhooks were
    read at most CACHE_TIME ago.
    """
    now = clock.now()
    read_at, webhooks = _cache.get(organization_id, (0, ()))
    if not 0 <= now - read_at < CACHE_TIME:
        webhooks = of_organization(organization_id)
        if len(_cache) >= _MAX_CACHED:
            _cache.clear()
        _cache[organization_id] = now, webhooks
    return [
        status for status in ENDS if any(webhook.receives(job_type, status) for webhook in webhooks)
    ]


def find(organization_id: str, name: str) -> Webhook | None:
    """Return the webhook with this name, or None."""
    return Webhook.find(partition_of(organization_id), name)


def put(organization_id: str, name: str, *, by: str | None, **subscription: Any) -> Webhook:
    """Create or replace a webhook, and return it.

    `subscription` has its `url`, `secret`, `statuses` and `job_types`.
    """
    webhook = Webhook(
        partition_of(organization_id), name, updated_at=clock.now(), updated_by=by, **subscription
    )
    webhook.save()
    _cache.pop(organization_id, None)
    return webhook


def delete(organization_id: str, name: str) -> bool:
    """Delete a webhook. Return False if there is none with this name."""
    _cache.pop(organization_id, None)
    webhook = Webhook(partition_of(organization_id), name)
    return try_write(lambda: webhook.delete(Webhook.url.exists()))


# for each organization: when its webhooks were read, and the webhooks
_cache: dict[str, tuple[int, Iterable[Webhook]]] = {}
caches.register(_cache.clear)
