"""Write to the contacts table with several threads, which back off when it is throttled."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from botocore.exceptions import ClientError

from campaign.contacts import Contact, dynamodb, is_throttled, table
from job_runners.work import Retry, RetryAfter

_BACKOFF = Retry(base=0.05, cap=5.0)
_RESERVE = 5.0  # seconds that the job needs to record its outcome
_RETRY_AFTER = 30.0  # seconds before the next attempt if the table still refuses writes at the end

_T = TypeVar("_T")


class ThrottledWriter:
    """A pool of threads for writes. As a context manager, it ends its threads at the exit.

    `time_left` returns the seconds that this invocation has left.
    """

    def __init__(self, threads: int, time_left: Callable[[], float]) -> None:
        dynamodb()  # created before the threads need it
        self._time_left = time_left
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="contacts")
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)

    def each(self, write: Callable[[_T], _T | None], pieces: Iterable[_T]) -> None:
        """Write all pieces. `write` returns the rest of a piece that must be written again, if any.

        Raises RetryAfter if the table still refuses writes when the time is nearly up.
        """
        for _ in self._pool.map(lambda piece: self._write_with_backoff(write, piece), pieces):
            pass

    def _write_with_backoff(self, write: Callable[[_T], _T | None], piece: _T) -> None:
        tries = 0
        while rest := _try_write(write, piece):
            piece = rest
            tries += 1
            wait = _BACKOFF.delay(tries)
            if self._time_left() < wait + _RESERVE:
                raise RetryAfter(_RETRY_AFTER, "the contacts table is throttled")
            if self._stopping.wait(wait):
                return


def _try_write(write: Callable[[_T], _T | None], piece: _T) -> _T | None:
    try:
        return write(piece)
    except ClientError as error:
        if is_throttled(error):
            return piece
        raise


class ContactWriter(ThrottledWriter):
    """A pool of threads that write contacts in batches."""

    _BATCH = 25  # items, DynamoDB's limit

    def __init__(self, time_left: Callable[[], float]) -> None:
        # A campaign's contacts share a hash key, so they are in one DynamoDB partition, which
        # accepts 1,000 writes per second at first.
        super().__init__(4, time_left)

    def write(self, contacts: Sequence[Contact]) -> None:
        """Write all contacts. Each number may occur only once.

        Raises RetryAfter if the table still refuses writes when the time is nearly up.
        """
        puts = [{"PutRequest": {"Item": contact.item()}} for contact in contacts]
        batches = (puts[start : start + self._BATCH] for start in range(0, len(puts), self._BATCH))
        self.each(_write_batch, batches)


def _write_batch(puts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send a batch, and return the items that DynamoDB did not accept."""
    answer = dynamodb().batch_write_item(RequestItems={table(): puts})
    unprocessed: list[dict[str, Any]] = answer.get("UnprocessedItems", {}).get(table(), [])
    return unprocessed
