"""Measure the oldest wait for a signal, and the oldest wait in the line of a queue with limits.

Each becomes a metric. The due index only shows when waits end. So this reads from the rows when
they began. If no job waits, a measurement costs only sixteen empty queries.
"""

from collections.abc import Iterable
from itertools import islice

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import due_index
from job_runners.store import current_wait, queries
from job_runners.store.job_request import JobRequest, Lane, due_shards
from job_runners.store.lines import is_line

_MAX_ROWS = 1000  # how many rows of each lane to read, beginning with those that are due first


def measure() -> None:
    """Write a metric for the oldest wait for a signal, and one for the oldest wait in a line."""
    waits = filter(None, map(current_wait.of, _first_rows(Lane.WAITS)))
    waiting_since = [wait.since for wait in waits if wait.kind == current_wait.SIGNAL]
    if waiting_since:
        telemetry.oldest_wait(clock.now() - min(waiting_since))
    rows_in_line = [row for row in _first_rows(Lane.HELD) if is_line(row.held_by)]
    in_line_since = [row.waiting_since for row in rows_in_line if row.waiting_since is not None]
    if in_line_since:
        telemetry.oldest_in_line(clock.now() - min(in_line_since))


def _first_rows(lane: Lane) -> Iterable[JobRequest]:
    keys = due_index.merge_shards(due_shards(lane), due_index.END_OF_TIME)
    return queries.read_many([key.id for key in islice(keys, _MAX_ROWS)]).values()
