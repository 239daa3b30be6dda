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
    """One write of a transaction.

    If the condition holds, the record is put, deleted, changed by `actions`, or only checked.
    """

    record: Table
    how: Literal["put", "delete", "change", "check"]
    actions: Sequence[Action] = ()
    condition: Condition | None = None

    def add_to(self, transaction: TransactWrite) -> None:
        """Add this write to a transaction."""
        match self.how:
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
    """Return a record's hash key and its range key, or None if the record has no range key."""
    found: dict[bool, Any] = {True: None, False: None}
    for name, attribute in record.get_attributes().items():
        if attribute.is_hash_key or attribute.is_range_key:
            found[attribute.is_hash_key] = getattr(record, name)
    return found[True], found[False]


class NotWritten(Exception):
    """A transaction was refused, so nothing was written. Its subclasses say why."""


class RaceLost(NotWritten):
    """A record of a transaction has changed since it was read. `refused` has the refused writes."""

    def __init__(self, refused: Sequence[RecordWrite] = ()) -> None:
        super().__init__("another process changed the record first")
        self.refused = refused


class RowExists(NotWritten):
    """A new row was not saved with its other records, because another row has its id."""

    def __init__(self, row: "JobRequest") -> None:
        super().__init__(f"job {row.id} already exists: it is {row.state}")
        self.row = row


def write_all(writes: Sequence[RecordWrite], *, first_is_row: bool = False) -> None:
    """Write records in one transaction.

    Raises RaceLost if the conditions of some records failed. Raises TransactWriteError for every
    other failure, and with `first_is_row` also if the condition of the first record failed.
    """

    def write_them() -> None:
        with TransactWrite(connection=writes[0].record.connection()) as transaction:
            for each in writes:
                each.add_to(transaction)

    try:
        retry_on_conflict(write_them)
    except TransactWriteError as error:
        refused = _refused_by(error, writes)
        if refused and not (first_is_row and refused[0] is writes[0]):
            raise RaceLost(refused) from error
        raise


# pynamodb sends a transaction's writes in this order, not in the order in which they were added.
_SENT_IN_ORDER = ("check", "delete", "put", "change")


def _refused_by(error: TransactWriteError, writes: Sequence[RecordWrite]) -> list[RecordWrite]:
    """Return the writes whose conditions failed, in the order of `writes`."""
    # The sort is stable: within a kind, the order stays.
    sent = sorted(writes, key=lambda each: _SENT_IN_ORDER.index(each.how))
    failed = [
        each
        for each, reason in zip(sent, error.cancellation_reasons, strict=False)
        if reason is not None and reason.code == "ConditionalCheckFailed"
    ]
    return [each for each in writes if any(each is one for one in failed)]
