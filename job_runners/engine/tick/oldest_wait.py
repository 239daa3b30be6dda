"""How long jobs have waited for a person or an event, for a metric.

The due index has only the ends of waits, so their beginnings are read from the rows. A stack
without waits pays only for eight empty queries each time.
"""

from itertools import islice

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import due_index
from job_runners.store import queries
from job_runners.store.job_request import Lane, due_shards
from job_runners.store.verbs import waits

_MOST = 1000  # waits that are read: those that end first


def measure() -> None:
    """Count how long the job has waited that has waited longest for a signal, if there is one."""
    keys = due_index.merged(due_shards(Lane.WAITS), due_index.END_OF_TIME)
    rows = queries.read_many([key.id for key in islice(keys, _MOST)]).values()
    found = [wait for row in rows if row.awaits_signal and (wait := waits.current(row))]
    if found:
        telemetry.oldest_wait(clock.now() - min(wait.since for wait in found))
