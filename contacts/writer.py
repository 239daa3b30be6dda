"""Writes contacts in batches, several at a time, for as long as DynamoDB takes them."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from contacts.contact import Contact
from errors import RetryAfter
from settings import required
from store import aws
from work.retry import Retry

_BATCH = 25  # items, DynamoDB's limit
# A campaign's contacts share a hash key: one partition, which takes 1,000 writes a second at first.
_AT_ONCE = 4
_BACKOFF = Retry(base=0.05, cap=5.0)
_RESERVE = 5.0  # seconds that the job needs to record its outcome
_REST = 30.0  # seconds that a table which refuses to the end is left alone
_THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
)


class ContactWriter:
    """Use as a context manager: leaving it ends its threads.

    `time_left` says how many seconds this invocation has.
    """

    def __init__(self, time_left: Callable[[], float]) -> None:
        self._time_left = time_left
        self._table = required(Contact.table_setting, "writing contacts")
        self._client = aws.client("dynamodb")
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="contacts")
        self._leaving = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._pool.shutdown(cancel_futures=True)

    def write(self, contacts: Sequence[Contact]) -> None:
        """Write them all, each number at most once among them.

        Raises RetryAfter if the table still refuses some when the time is nearly up.
        """
        puts = [{"PutRequest": {"Item": contact.serialize()}} for contact in contacts]
        batches = [puts[start : start + _BATCH] for start in range(0, len(puts), _BATCH)]
        for _ in self._pool.map(self._write_batch, batches):
            pass

    def _write_batch(self, puts: list[dict[str, Any]]) -> None:
        tries = 0
        while puts := self._refused(puts):
            tries += 1
            wait = _BACKOFF.delay(tries)
            if self._time_left() < wait + _RESERVE:
                raise RetryAfter(_REST, f"the table {self._table} takes no more contacts for now")
            if self._leaving.wait(wait):
                return

    def _refused(self, puts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send a batch; what DynamoDB did not take of it."""
        try:
            answer = self._client.batch_write_item(RequestItems={self._table: puts})
        except ClientError as error:
            if error.response["Error"]["Code"] in _THROTTLED:
                return puts
            raise
        refused: list[dict[str, Any]] = answer.get("UnprocessedItems", {}).get(self._table, [])
        return refused
