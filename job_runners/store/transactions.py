"""Write several records in one transaction.

Each write has its own condition. If any condition fails, nothing is written.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from job_runners.aws.errors import retry_on_conflict
from job_runners.store.table import Table

if TYPE_CHECKING:
    from job_runners.store.job_request import JobRequest


class RecordWrite(NamedTuple):
    """One part of a transaction, which writes or only checks a record.

    If its condition doesn't hold, DynamoDB refuses the whole transaction.
    """

    record: Table
    kind: Literal["put", "delete", "change", "check"]
    actions: Sequence[Action] = ()  # how to change the record
    condition: Condition | None = None

    def add_to(self, transaction: TransactWrite) -> None:
        """Add this write to a transaction."""
        match self.kind:
            case "put":
                transaction.save(self.record, self.condition)
            case "delete":
                transaction.delete(self.record, self.condition)
            case "change":
                transaction.update(self.record, list(self.actions), self.condition)
            case "check":
                transaction.condition_check(
                    type(self.record), *_key(self.record), condition=self.condition
                )


def _key(record: Table) -> tuple[Any, Any]:
    """Return a record's hash key, and its range key or None."""
    hash_key = range_key = None
    for name, attribute in record.get_attributes().items():
        if attribute.is_hash_key:
            hash_key = getattr(record, name)
        elif attribute.is_range_key:
            range_key = getattr(record, name)
    return hash_key, range_key


class NotWritten(Exception):
    """A transaction was refused, so nothing was written. The subclasses say why."""


class RaceLost(NotWritten):
    """Another process changed a record of the transaction first.

    `refused` has the writes whose conditions failed.
    """

    def __init__(self, refused: Sequence[RecordWrite] = ()) -> None:
        super().__init__("another process changed the record first")
        self.refused = refused


class RowExists(NotWritten):
    """A new row was not saved with its other records, because another row has its id."""

    def __init__(self, row: "JobRequest") -> None:
        super().__init__(f"job {row.id} already exists: it is {row.state}")
        self.row = row


def write_all(writes: Sequence[RecordWrite], *, first_is_row: bool = False) -> None:
    """Make several writes in one transaction.

    Raises RaceLost if the conditions of some writes failed, and TransactWriteError for every other
    failure. Pass `first_is_row=True` if the first write changes a job's row. If the condition of
    that write failed, this raises TransactWriteError instead of RaceLost.
    """

    def write_once() -> None:
        with TransactWrite(connection=writes[0].record.connection()) as transaction:
            for write in writes:
                write.add_to(transaction)

    try:
        retry_on_conflict(write_once)
    except TransactWriteError as error:
        refused = _refused_writes(error, writes)
        is_row_refused = first_is_row and contains(refused, writes[0])
        if refused and not is_row_refused:
            raise RaceLost(refused) from error
        raise


def contains(writes: Sequence[RecordWrite], write: RecordWrite) -> bool:
    """Return whether `write` is in `writes`, by identity, because conditions can't be compared."""
    return any(other is write for other in writes)


# pynamodb sends a transaction's writes in this order, not in the order in which they were added.
_SENDING_ORDER = ("check", "delete", "put", "change")


def _refused_writes(error: TransactWriteError, writes: Sequence[RecordWrite]) -> list[RecordWrite]:
    """Return the writes whose conditions failed, in the order of `writes`."""
    # DynamoDB gives one reason for each write, in the order in which they were sent. The sort is
    # stable, so writes of one kind keep their order.
    sent_writes = sorted(writes, key=lambda write: _SENDING_ORDER.index(write.kind))
    refused = []
    for write, reason in zip(sent_writes, error.cancellation_reasons, strict=False):
        if reason is not None and reason.code == "ConditionalCheckFailed":
            refused.append(write)
    return [write for write in writes if contains(refused, write)]
