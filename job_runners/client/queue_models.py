"""The models of queues that the client returns."""

from datetime import datetime

from job_runners.client.from_json import FromJson
from job_runners.client.models import Pause, WaitsFor


class Rate(FromJson):
    """A rate of `count` starts per `seconds`, with up to `burst` of them at once."""

    count: int
    seconds: float = 1
    burst: int = 1


class Limits(FromJson):
    """The limits of a queue: how many of its jobs run at once, and how fast they start.

    With `per`, each value of that field has its own slots and rate. `order` is `fifo` or `fair`.
    """

    slots: int | None = None
    rate: Rate | None = None
    per: str | None = None
    order: str = "fifo"
    max_waiting: int | None = None


class Holder(FromJson):
    """A job that has held a slot since the time `since`."""

    job_id: str
    organization_id: str | None
    since: datetime | None


class ConcurrencyKey(FromJson):
    """The usage of one of a queue's keys.

    A queue's limits can apply to each value of a field separately (see Limits). These values are
    its keys. The key is "*" if the queue has no `per`, and for jobs that have no value for it.

    `more_waiting` is True if more jobs wait than the 1,000 that are counted. The newest holder got
    its slot at `last_started_at`. The rate allows no start until `next_start_at`.
    """

    key: str
    holders: tuple[Holder, ...]
    waiting: int
    more_waiting: bool
    oldest_waiting_since: datetime | None = None
    oldest_waiting_id: str | None = None
    last_started_at: datetime | None = None
    next_start_at: datetime | None = None


class Queue(FromJson):
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


class QueueBacklog(FromJson):
    """The jobs of one type in one queue that wait for a worker, and those that run.

    Jobs that wait in line, under a pause or for something else aren't counted. `last_started_at` is
    the latest start that was found.
    """

    queue_name: str
    job_type: str
    waiting: int
    running: int
    oldest_waiting_since: datetime | None
    oldest_waiting_id: str | None
    last_started_at: datetime | None = None


class Backlog(FromJson):
    """The jobs that wait for a worker. If `more` is True, each number is a minimum."""

    jobs: tuple[QueueBacklog, ...]
    more: bool


class Place(FromJson):
    """The position of a waiting job.

    - `ahead` is the number of jobs ahead of it, at most 1,000, or None if it doesn't wait.
    - `more_ahead` is True if there are more than that.
    - `of_organization` is True if only jobs of the job's organization are counted.
    """

    waits_for: WaitsFor | None
    ahead: int | None
    more_ahead: bool = False
    of_organization: bool = False
