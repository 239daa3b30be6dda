"""Schedules: the jobs that an organization dispatches repeatedly, and the progress of each.

A schedule is one item of the coordination table, in the DynamoDB partition of its organization.
Unless it is paused, it is in the index `due`, sorted by the time at which the timer must check it.
So a timer run reads only due schedules, however many there are. The index is spread over shards,
because 10,000 schedules due in one minute would throttle a single shard.

Every write is refused if the item's `revision` has changed since it was read. A write sets a new
`revision`.

An occurrence is one of a schedule's times. `last_at` is the last occurrence that was handled. It
only moves forward.

A deleted schedule leaves a stub, which has no definition but keeps the last occurrence and its job.
So a schedule that is put again repeats no occurrence, even on a machine whose clock is behind. Nor
does it overlap the job of the last occurrence.

| file | content |
|---|---|
| `schedule` | the item and the meaning of its fields |
| `queries` | reads: by name, a page of an organization's schedules, the due ones |
| `changing` | changes by people and deploys: put, pause, resume, delete |
| `advancing` | changes by the timer: an occurrence starts, waits, fails or is skipped |
| `writing` | the conditional write that both use |
"""

from job_runners.store.schedules.advancing import (
    Progress,
    Skipped,
    advance,
    note_failing,
    set_aside,
    skip_write,
    start_write,
    wait_for_previous,
)
from job_runners.store.schedules.changing import delete, pause, put, resume, stays_paused
from job_runners.store.schedules.queries import count, due, page, read, read_many
from job_runners.store.schedules.schedule import (
    VERSION,
    Definition,
    Origin,
    Schedule,
    check_payload,
    pack,
    shards,
)
from job_runners.store.schedules.writing import ScheduleMoved

__all__ = [
    "VERSION",
    "Definition",
    "Origin",
    "Progress",
    "Schedule",
    "ScheduleMoved",
    "Skipped",
    "advance",
    "check_payload",
    "count",
    "delete",
    "due",
    "note_failing",
    "pack",
    "page",
    "pause",
    "put",
    "read",
    "read_many",
    "resume",
    "set_aside",
    "shards",
    "skip_write",
    "start_write",
    "stays_paused",
    "wait_for_previous",
]
