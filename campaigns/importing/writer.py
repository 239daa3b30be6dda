"""Writes contacts in batches, several at a time, for as long as DynamoDB takes them."""

from collections.abc import Callable, Sequence
from typing import Any

from aws import clients
from campaigns.contact import Contact
from campaigns.throttled_writer import ThrottledWriter
from settings import required

_BATCH = 25  # items, DynamoDB's limit
# A campaign's contacts share a hash key: one partition, which takes 1,000 writes a second at first.
_AT_ONCE = 4


class ContactWriter(ThrottledWriter):
    """Use as a context manager: leaving it ends its threads.

    `time_left` says how many seconds this invocation has.
    """

    def __init__(self, time_left: Callable[[], float]) -> None:
        super().__init__(_AT_ONCE, time_left)
        self._table = required(Contact.table_setting, "writing contacts")
        self._client = clients.client("dynamodb")

    def write(self, contacts: Sequence[Contact]) -> None:
        """Write them all, each number at most once among them.

        Raises RetryAfter if the table still refuses some when the time is nearly up.
        """
        puts = [{"PutRequest": {"Item": contact.serialize()}} for contact in contacts]
        self.each(
            self._refused, [puts[start : start + _BATCH] for start in range(0, len(puts), _BATCH)]
        )

    def _refused(self, puts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send a batch; what DynamoDB did not take of it."""
        answer = self._client.batch_write_item(RequestItems={self._table: puts})
        refused: list[dict[str, Any]] = answer.get("UnprocessedItems", {}).get(self._table, [])
        return refused
