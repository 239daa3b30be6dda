"""Limit how many messages the timer sends, because too many would only wait in Lambda's queue.

After the timer has sent a message about a job, the job's row is *unclaimed* until a worker starts
the job. A *worker class* is a group of workers that run certain job types in a Lambda function of
their own.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from job_runners.engine.registry.registry import class_of_job
from job_runners.engine.tick import due_index
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest

# To find rows of a worker class that has messages left, a run reads up to `max_unclaimed` times
# this number of deferred rows.
_MAX_READ_FACTOR = 10


class MessageBudget:
    """The messages that one timer run may still send. The run's threads share this object.

    At most `max_unclaimed` rows may be unclaimed at a time. Before its first message, the run
    counts the rows that earlier runs have sent and that are still unclaimed. After that, it adds
    only its own messages.

    If no message is left and the app has worker classes, perhaps only one class is busy. The run
    then reads the classes of the unclaimed rows, and gives each class its own `max_unclaimed`.
    """

    def __init__(self, max_unclaimed: int) -> None:
        self._max_unclaimed = max_unclaimed
        self._unclaimed_earlier: int | None = None  # unclaimed rows of earlier runs, once counted
        self._sent_ids: list[str] = []  # the rows for which this run has taken a message
        # How many rows of each class are unclaimed. Counted only when no message is left.
        self._unclaimed_by_class: Counter[str | None] | None = None
        self._lock = threading.Lock()

    @property
    def unclaimed(self) -> int:
        """Return the number of unclaimed rows of earlier runs, or 0 if it wasn't needed."""
        return self._unclaimed_earlier or 0

    def take(self, row: JobRequest, *, even_if_empty: bool) -> bool:
        """Take a message for a row, and return True. Return False if no message is left.

        With `even_if_empty`, always take a message.
        """
        with self._lock:
            return self._take(row.id, row.job_type, even_if_empty)

    def take_for(self, rows: Iterable[JobRequest]) -> list[JobRequest]:
        """Take a message for each row until none is left. Return the rows that got a message."""
        remaining = iter(rows)
        with self._lock:
            chosen = list(islice(remaining, max(0, self._count_left())))
            self._sent_ids += [row.id for row in chosen]
            # If rows remain, no message is left for all classes together, but some class may still
            # have messages of its own.
            if settings().worker_classes:
                others = list(islice(remaining, self._max_unclaimed * _MAX_READ_FACTOR))
                types = due_index.types_of([row.id for row in others])
                for row in others:
                    if row.id in types and self._take(row.id, types[row.id]):
                        chosen.append(row)
            return chosen

    def _take(self, job_id: str, job_type: str, even_if_empty: bool = False) -> bool:
        """Do the work of `take`. The caller holds the lock."""
        is_empty = self._count_left() <= 0 and not self._has_message_for_class(job_type)
        if is_empty and not even_if_empty:
            return False
        self._sent_ids.append(job_id)
        if self._unclaimed_by_class is not None:
            self._unclaimed_by_class[class_of_job(job_type)] += 1
        return True

    def _has_message_for_class(self, job_type: str) -> bool:
        """Return whether a message is left for the worker class of this job type."""
        classes = settings().worker_classes
        if not classes:
            return False
        if self._unclaimed_by_class is None:
            earlier_ids = due_index.unclaimed_ids(self._max_unclaimed * (len(classes) + 1))
            types = due_index.types_of({*self._sent_ids, *earlier_ids})
            self._unclaimed_by_class = Counter(map(class_of_job, types.values()))
        return self._unclaimed_by_class[class_of_job(job_type)] < self._max_unclaimed

    def _count_left(self) -> int:
        """Return how many messages are left for all classes together."""
        if self._unclaimed_earlier is None:
            self._unclaimed_earlier = due_index.count_unclaimed(self._max_unclaimed)
        return self._max_unclaimed - self._unclaimed_earlier - len(self._sent_ids)
