"""Schedules: what an organisation has done again and again, and how far each of them has come.

A schedule is one item of the coordination table, among its organisation's. Until it is paused it is
in the index `due`, by the time at which the timer has to look at it; so a tick reads only what is
due, however many schedules there are. The index is spread over shards: 10,000 of one minute would
throttle a single one.

Every write asks that the item is as it was read, by its `revision`, and gives it another. The
occurrence that was dealt with last, `last_at`, only moves forward.

A schedule that is deleted leaves a stub, without what it was asked to do: if it is put again, by a
machine whose clock is behind perhaps, it does not go through the same occurrences once more, nor
overlap the job of before.

| file | what is in it |
|---|---|
| `schedule` | the item: what each of its fields means |
| `queries` | reading: by their names, a page of an organisation's, those that are due |
| `changing` | what people and deploys do: put, pause, resume, delete |
| `moving_on` | what the timer does: an occurrence is started, waits, fails, or is left out |
| `writing` | what those two are made of: the one conditional write |
"""

from store.schedules.changing import delete, pause, put, resume, stays_paused
from store.schedules.moving_on import (
    Dropped,
    Step,
    left_out_also,
    move_on,
    note_failing,
    set_aside,
    start_also,
    wait,
)
from store.schedules.queries import count, due, page, read, read_many
from store.schedules.schedule import (
    LARGEST_PAYLOAD,
    VERSION,
    Definition,
    Origin,
    Schedule,
    pack,
    shards,
)
from store.schedules.writing import ScheduleMoved

__all__ = [
    "LARGEST_PAYLOAD",
    "VERSION",
    "Definition",
    "Dropped",
    "Origin",
    "Schedule",
    "ScheduleMoved",
    "Step",
    "count",
    "delete",
    "due",
    "left_out_also",
    "move_on",
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
    "start_also",
    "stays_paused",
    "wait",
]
