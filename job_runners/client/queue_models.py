"""The values about queues that the client returns. A field that an older API lacks is None."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.client.models import Pause, WaitsFor, time_of, waits_for_of
from job_runners.values import Value, field


class Rate(Value):
    """A rate of `count` starts per `seconds`, with up to `burst` of them at once."""

    count: int
    seconds: float = 1
    burst: int = 1


class Limits(Value):
    """The limits of a queue: how many of its jobs run at once, and how fast they start.

    With `per`, each value of that field has its own slots and rate. `order` is `fifo` or `fair`.
    """

    slots: int | None = None
    rate: Rate | None = None
    per: str | None = None
    order: str = "fifo"
    max_waiting: int | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> Self | None:
        """Return limits from the API's JSON, or None for no limits."""
        if value is None:
            return None
        rate = value["rate"]
        return cls(
            value["slots"],
            Rate(rate["count"], rate["seconds"], rate["burst"]) if rate else None,
            value["per"],
            value["order"],
            value["max_waiting"],
        )


class Holder(Value):
    """A job that has a slot, and the time at which it got the slot."""

    job_id: str
    organization_id: str | None
    since: datetime | None


class ConcurrencyKey(Value):
    """The usage of a key of a queue.

    The key is "*" if the queue has no `per`, and for jobs that have no value for it.

    `more_waiting` is True if more jobs wait than the 1,000 that are counted. The rate allows no
    start until `next_start_at`.
    """

    key: str
    holders: tuple[Holder, ...]
    waiting: int
    more_waiting: bool
    oldest_waiting_since: datetime | None = None
    next_start_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a key from the API's JSON."""
        return cls(
            value["key"],
            tuple(
                Holder(each["job_id"], each["organization_id"], time_of(each["since"]))
                for each in value["holders"]
            ),
            value["waiting"],
            value["more_waiting"],
            time_of(value["oldest_waiting_since"]),
            time_of(value["next_start_at"]),
            value,
        )


class Queue(Value):
    """A queue: its active limits, those in code, the last change, and its usage.

    `limits` is None if the queue has no limits. `paused` is its pause, or None.
    """

    name: str
    limits: Limits | None
    declared_limits: Limits | None
    changed_at: datetime | None = None
    changed_by: str | None = None
    paused: Pause | None = None
    keys: tuple[ConcurrencyKey, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a queue from the API's JSON."""
        paused = value.get("paused")
        return cls(
            value["name"],
            Limits.of(value["limits"]),
            Limits.of(value["declared_limits"]),
            time_of(value["changed_at"]),
            value["changed_by"],
            Pause.of(paused) if paused else None,
            tuple(map(ConcurrencyKey.of, value.get("keys", ()))),
            value,
        )


class Place(Value):
    """The position of a waiting job.

    `ahead` is the number of jobs ahead of it, or None if it doesn't wait. `more_ahead` is True if
    there are more, because at most 1,000 are counted. If `of_organization` is True, only jobs of
    the job's organization are counted.
    """

    waits_for: WaitsFor | None
    ahead: int | None
    more_ahead: bool = False
    of_organization: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a place from the API's JSON."""
        return cls(
            waits_for_of(value["waits_for"]),
            value["ahead"],
            value["more_ahead"],
            value["of_organization"],
            value,
        )
