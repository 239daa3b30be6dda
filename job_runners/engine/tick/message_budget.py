"""Limit how many messages the timer sends, because too many would only wait in Lambda."""

import threading
from collections.abc import Iterable
from itertools import islice

from job_runners.engine.tick import due_index
from job_runners.store.job_request import JobRequest


class MessageBudget:
    """The number of messages that one timer run may still send. The run's threads share it.

    At most `max_unclaimed` rows that the timer has sent again may be unclaimed at a time. Before
    the first message, the run counts the rows that earlier runs sent. After that, it counts only
    its own messages.
    """

    def __init__(self, max_unclaimed: int) -> None:
        self._max_unclaimed = max_unclaimed
        self._sent_earlier: int | None = None  # the unclaimed rows that earlier runs sent
        self._taken = 0  # the messages of this run
        self._lock = threading.Lock()

    @property
    def unclaimed(self) -> int:
        """Return how many of the rows that earlier runs sent are still unclaimed.

        The result is 0 if they were not counted.
        """
        return self._sent_earlier or 0

    def take(self, *, even_if_empty: bool) -> bool:
        """Take one message. Return False if none is left, unless `even_if_empty`."""
        with self._lock:
            if self._left() <= 0 and not even_if_empty:
                return False
            self._taken += 1
            return True

    def take_for(self, rows: Iterable[JobRequest]) -> list[JobRequest]:
        """Take a message for each row until none is left. Return the rows that got a message."""
        with self._lock:
            found = list(islice(rows, max(0, self._left())))
            self._taken += len(found)
            return found

    def _left(self) -> int:
        if self._sent_earlier is None:
            self._sent_earlier = due_index.count_unclaimed(self._max_unclaimed)
        return self._max_unclaimed - self._sent_earlier - self._taken
