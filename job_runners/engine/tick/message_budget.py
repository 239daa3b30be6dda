"""Limit how many messages the timer sends, because too many would only wait in Lambda."""

import threading
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from job_runners.engine.registry.registry import class_of_job
from job_runners.engine.tick import due_index
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest

# The number of rows of the backlog that a run reads for a class that has messages left, in
# multiples of `max_unclaimed`.
_BACKLOG_READ = 10


class MessageBudget:
    """The number of messages that one timer run may still send. The run's threads share it.

    At most `max_unclaimed` rows that the timer has sent again may be unclaimed at a time. Before
    the first message, the run counts the rows that earlier runs sent. After that, it counts only
    its own messages.

    If none is left and the stack has worker classes, the workers of one class may be blocked. Then
    the run reads which classes the unclaimed rows have, and `max_unclaimed` holds for each class.
    """

    def __init__(self, max_unclaimed: int) -> None:
        self._max_unclaimed = max_unclaimed
        self._sent_earlier: int | None = None  # the unclaimed rows that earlier runs sent
        self._taken: list[str] = []  # the rows of this run's messages
        self._by_class: Counter[str | None] | None = None  # the unclaimed rows, once none is left
        self._lock = threading.Lock()

    @property
    def unclaimed(self) -> int:
        """Return how many of the rows that earlier runs sent are still unclaimed.

        The result is 0 if they were not counted.
        """
        return self._sent_earlier or 0

    def take(self, row: JobRequest, *, even_if_empty: bool) -> bool:
        """Take one message. Return False if none is left, unless `even_if_empty`."""
        with self._lock:
            return self._take(row.id, row.job_type, even_if_empty)

    def take_for(self, rows: Iterable[JobRequest]) -> list[JobRequest]:
        """Take a message for each row until none is left. Return the rows that got a message."""
        remaining = iter(rows)
        with self._lock:
            found = list(islice(remaining, max(0, self._left())))
            self._taken += [row.id for row in found]
            if self._left() <= 0 and settings().worker_classes:
                others = list(islice(remaining, self._max_unclaimed * _BACKLOG_READ))
                types = due_index.types_of([row.id for row in others])
                found += [
                    row for row in others if row.id in types and self._take(row.id, types[row.id])
                ]
            return found

    def _take(self, job_id: str, job_type: str, even_if_empty: bool = False) -> bool:
        if self._left() <= 0 and not self._has_class_left(job_type) and not even_if_empty:
            return False
        self._taken.append(job_id)
        if self._by_class is not None:
            self._by_class[class_of_job(job_type)] += 1
        return True

    def _has_class_left(self, job_type: str) -> bool:
        classes = settings().worker_classes
        if not classes:
            return False
        if self._by_class is None:
            earlier = due_index.unclaimed(self._max_unclaimed * (len(classes) + 1))
            types = due_index.types_of({*self._taken, *earlier})
            self._by_class = Counter(map(class_of_job, types.values()))
        return self._by_class[class_of_job(job_type)] < self._max_unclaimed

    def _left(self) -> int:
        if self._sent_earlier is None:
            self._sent_earlier = due_index.count_unclaimed(self._max_unclaimed)
        return self._max_unclaimed - self._sent_earlier - len(self._taken)
