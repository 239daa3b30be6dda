"""Schedules: jobs that the timer dispatches repeatedly for an organization.

A schedule is one item of the coordination table, in the DynamoDB partition of its organization.
Unless it is paused, it is in the index `due`, sorted by the time at which the timer must check it.
So a timer run reads only due schedules, however many there are. The index is spread over shards,
because 10,000 schedules that are due in the same minute would throttle a single shard.

Each write sets a new `revision`, and is refused if the revision has changed since the item was
read.

An *occurrence* is one of the times at which a schedule dispatches a job. `last_at` is the last
occurrence that was handled. It only moves forward.

A deleted schedule leaves a *stub*, which has no definition but keeps the last occurrence and its
job. If the schedule is put again, it therefore doesn't repeat an occurrence, even on a machine
whose clock is behind, and doesn't overlap the job of the last occurrence.

| file | content |
|---|---|
| `schedule` | the item and the meaning of its fields |
| `queries` | reads: by name, a page of an organization's schedules, the due ones |
| `changing` | changes by callers and deploys: put, pause, resume, delete |
| `advancing` | changes by the timer: an occurrence starts, waits, fails or is skipped |
| `writing` | the conditional write that both use |
"""

from job_runners.store.schedules.advancing import Progress as Progress
from job_runners.store.schedules.advancing import SkippedOccurrences as SkippedOccurrences
from job_runners.store.schedules.advancing import advance as advance
from job_runners.store.schedules.advancing import record_failed_start as record_failed_start
from job_runners.store.schedules.advancing import set_aside as set_aside
from job_runners.store.schedules.advancing import wait_for_previous as wait_for_previous
from job_runners.store.schedules.advancing import write_that_skips as write_that_skips
from job_runners.store.schedules.advancing import write_that_starts as write_that_starts
from job_runners.store.schedules.changing import delete as delete
from job_runners.store.schedules.changing import pause as pause
from job_runners.store.schedules.changing import put as put
from job_runners.store.schedules.changing import resume as resume
from job_runners.store.schedules.changing import stays_paused as stays_paused
from job_runners.store.schedules.queries import count as count
from job_runners.store.schedules.queries import due as due
from job_runners.store.schedules.queries import page as page
from job_runners.store.schedules.queries import read as read
from job_runners.store.schedules.queries import read_many as read_many
from job_runners.store.schedules.schedule import VERSION as VERSION
from job_runners.store.schedules.schedule import Definition as Definition
from job_runners.store.schedules.schedule import Origin as Origin
from job_runners.store.schedules.schedule import Schedule as Schedule
from job_runners.store.schedules.schedule import check_payload as check_payload
from job_runners.store.schedules.schedule import pack as pack
from job_runners.store.schedules.schedule import shards as shards
from job_runners.store.schedules.writing import ScheduleChanged as ScheduleChanged
