"""What the API tells of queues, as values. A field that an older API lacks is None."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.models import Pause, WaitsFor, time_of, waits_for_of
from job_runners.values import Value, field


class Rate(Value):
    """So many starts in so many seconds, and `burst` of them at once."""

    count: int
    seconds: float = 1
    burst: int = 1


class Limits(Value):
    """What limits a queue: how many of its jobs run at once, and how fast they start.

    With `per`, each value of that has slots and a rate of its own. `order` is `fifo` or `fair`.
    """

    slots: int | None = None
    rate: Rate | None = None
    per: str | None = None
    order: str = "fifo"
    max_waiting: int | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> Self | None:
        """Return limits from the API's JSON; None for none."""
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
    """A job that has a slot, and since when."""

    job_id: str
    organization_id: str | None
    since: datetime | None


class QueueKey(Value):
    """How a key of a queue is used; "*" is the whole queue.

    `more_waiting` tells that more wait than the 1,000 that are counted. Until `next_start_at` its
    rate allows no start.
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
    """A queue: the limits in force, those of the code, who changed them when, and its use.

    `limits` is None if nothing limits it; `paused` is its pause, if it has one.
    """

    name: str
    limits: Limits | None
    declared_limits: Limits | None
    changed_at: datetime | None = None
    changed_by: str | None = None
    paused: Pause | None = None
    keys: tuple[QueueKey, ...] = ()
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
            tuple(map(QueueKey.of, value.get("keys", ()))),
            value,
        )


class Place(Value):
    """Where a job is among those that wait for the same.

    `ahead` is how many come before it, None if it does not wait; `more_ahead` tells that they are
    at least so many, because no more than 1,000 are counted. With `of_organization` only its
    organization's jobs are counted.
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
