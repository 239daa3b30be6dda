"""Write contacts in batches, several at a time, and back off when DynamoDB throttles."""

from collections.abc import Callable, Sequence
from typing import Any

from job_runners.aws import clients
from job_runners.settings import required
from job_runners.shipped.campaigns.contact import Contact
from job_runners.shipped.campaigns.throttled_writer import ThrottledWriter

_BATCH = 25  # items, DynamoDB's limit
# A campaign's contacts share a hash key, so they are in one DynamoDB partition, which accepts 1,000
# writes per second at first.
_THREADS = 4


class ContactWriter(ThrottledWriter):
    """A pool of threads that write contacts. As a context manager, it ends its threads at the exit.

    `time_left` returns the seconds that this invocation has left.
    """

    def __init__(self, time_left: Callable[[], float]) -> None:
        super().__init__(_THREADS, time_left)
        self._table = required(Contact.table_setting, "writing contacts")
        self._client = clients.client("dynamodb")

    def write(self, contacts: Sequence[Contact]) -> None:
        """Write all contacts. Each number may occur only once.

        Raises RetryAfter if the table still refuses writes when the time is nearly up.
        """
        puts = [{"PutRequest": {"Item": contact.serialize()}} for contact in contacts]
        self.each(
            self._write_batch,
            [puts[start : start + _BATCH] for start in range(0, len(puts), _BATCH)],
        )

    def _write_batch(self, puts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send a batch, and return the items that DynamoDB did not accept."""
        answer = self._client.batch_write_item(RequestItems={self._table: puts})
        unprocessed: list[dict[str, Any]] = answer.get("UnprocessedItems", {}).get(self._table, [])
        return unprocessed
