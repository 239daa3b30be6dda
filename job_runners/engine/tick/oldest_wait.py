"""How long jobs have waited for a person or an event, and in the lines of queues, for two metrics.

The due index has only the ends of waits, so their beginnings are read from the rows. A stack
without waits pays only for sixteen empty queries each time.
"""

from collections.abc import Iterable
from itertools import islice

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import due_index
from job_runners.store import current_wait, queries
from job_runners.store.job_request import JobRequest, Lane, due_shards
from job_runners.store.lines import is_line

_MOST = 1000  # rows of a lane that are read: those that are due first


def measure() -> None:
    """Count how long the job has waited that has waited longest, if there is one.

    There is one count for the jobs that wait for a signal, and one for those in a line.
    """
    signaled = [row for row in _first(Lane.WAITS) if row.awaits_signal]
    since = [wait.since for row in signaled if (wait := current_wait.of(row))]
    if since:
        telemetry.oldest_wait(clock.now() - min(since))
    in_line = [row for row in _first(Lane.HELD) if is_line(row.held_by)]
    since = [row.waiting_since for row in in_line if row.waiting_since is not None]
    if since:
        telemetry.oldest_in_line(clock.now() - min(since))


def _first(lane: Lane) -> Iterable[JobRequest]:
    keys = due_index.merged(due_shards(lane), due_index.END_OF_TIME)
    return queries.read_many([key.id for key in islice(keys, _MOST)]).values()
