"""Write several records in one transaction, each on its own condition: all of them, or none."""

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
    """One write of a transaction: it puts, deletes, changes or only checks a record.

    A change consists of `actions`. If the condition doesn't hold, DynamoDB refuses the transaction.
    """

    record: Table
    kind: Literal["put", "delete", "change", "check"]
    actions: Sequence[Action] = ()
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
    """A record of a transaction has changed since it was read.

    `refused` are the writes whose conditions failed.
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

    Raises RaceLost if the conditions of some writes failed. Raises TransactWriteError for every
    other failure. Pass `first_is_row=True` if the first write is that of a job's row, to get
    TransactWriteError instead of RaceLost if the row's condition failed.
    """

    def write_once() -> None:
        with TransactWrite(connection=writes[0].record.connection()) as transaction:
            for write in writes:
                write.add_to(transaction)

    try:
        retry_on_conflict(write_once)
    except TransactWriteError as error:
        refused = _refused_writes(error, writes)
        row_refused = first_is_row and contains(refused, writes[0])
        if refused and not row_refused:
            raise RaceLost(refused) from error
        raise


def contains(writes: Sequence[RecordWrite], write: RecordWrite) -> bool:
    """Return whether `writes` has this very write. Compare by identity, because conditions can't
    be compared."""
    return any(other is write for other in writes)


# pynamodb sends a transaction's writes in this order, not in the order in which they were added.
_ORDER_SENT = ("check", "delete", "put", "change")


def _refused_writes(error: TransactWriteError, writes: Sequence[RecordWrite]) -> list[RecordWrite]:
    """Return the writes whose conditions failed, in the order of `writes`."""
    # The sort is stable: writes of one kind keep their order.
    writes_as_sent = sorted(writes, key=lambda write: _ORDER_SENT.index(write.kind))
    refused = [
        write
        for write, reason in zip(writes_as_sent, error.cancellation_reasons, strict=False)
        if reason is not None and reason.code == "ConditionalCheckFailed"
    ]
    return [write for write in writes if contains(refused, write)]
