"""Writes of several records in one transaction: each has its condition; all are made, or none."""

from collections.abc import Callable, Sequence
from secrets import SystemRandom
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

import clock
from aws.errors import conflicts
from store.table import Table

if TYPE_CHECKING:
    from store.job_request import JobRequest
    from store.uniqueness import Held

# Writes of one item that meet, one of them in a transaction: the loser tries again after up to this
# many seconds.
_CONFLICT_TRIES = 4
_CONFLICT_PAUSE = 0.1

_T = TypeVar("_T")


class RecordWrite(NamedTuple):
    """The write of another record, in one transaction with the row's.

    It is put, deleted, changed by `actions`, or only checked, if its condition holds.
    """

    record: Table
    how: Literal["put", "delete", "change", "check"]
    actions: Sequence[Action] = ()
    condition: Condition | None = None

    def add_to(self, transaction: TransactWrite) -> None:
        """Add it to a transaction."""
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
    """Return the values of a record's hash key and of its range key, None if it has none."""
    found: dict[bool, Any] = {True: None, False: None}
    for name, attribute in record.get_attributes().items():
        if attribute.is_hash_key or attribute.is_range_key:
            found[attribute.is_hash_key] = record.attribute_values[name]
    return found[True], found[False]


class RaceLost(Exception):
    """A record that was to change with a row is not as it was read: nothing was written.

    `lost` are the writes that were refused.
    """

    def __init__(self, lost: Sequence[RecordWrite] = ()) -> None:
        super().__init__("somebody else was first")
        self.lost = lost


class RowExists(Exception):
    """A row has the id of the one that was to be saved with other records: nothing was written."""

    def __init__(self, row: "JobRequest") -> None:
        super().__init__(f"job {row.id} is there: it is {row.state}")
        self.row = row


class KeyTaken(Exception):
    """A row has no key as work that is unique, for another job has it: nothing was written."""

    def __init__(self, held: "Held") -> None:
        super().__init__("another job has its key")
        self.held = held


def write_all(writes: Sequence[RecordWrite], *, first_is_row: bool = False) -> None:
    """Write records in one transaction.

    Raises RaceLost if some of them were refused by their own conditions. If the first is a row, and
    was itself refused, that is TransactWriteError, as is all else that goes wrong.
    """

    def write_them() -> None:
        with TransactWrite(connection=writes[0].record.connection()) as transaction:
            for each in writes:
                each.add_to(transaction)

    try:
        retry_on_conflict(write_them)
    except TransactWriteError as error:
        lost = _refused_by(error, writes)
        if lost and not (first_is_row and lost[0] is writes[0]):
            raise RaceLost(lost) from error
        raise


# By pynamodb, whatever order they were added in.
_SENT_IN_ORDER = ("check", "delete", "put", "change")


def _refused_by(error: TransactWriteError, writes: Sequence[RecordWrite]) -> list[RecordWrite]:
    """Return which of the writes were refused by their own conditions, in the order given."""
    sent = sorted(writes, key=lambda each: _SENT_IN_ORDER.index(each.how))  # keeps the order else
    failed = [
        each
        for each, reason in zip(sent, error.cancellation_reasons, strict=False)
        if reason is not None and reason.code == "ConditionalCheckFailed"
    ]
    return [each for each in writes if any(each is one for one in failed)]


def retry_on_conflict(write: Callable[[], _T]) -> _T:
    """Write, and try again if the write only met another one of the same item."""
    for _ in range(_CONFLICT_TRIES - 1):
        try:
            return write()
        except PynamoDBException as error:
            if not conflicts(error):
                raise
            clock.sleep(SystemRandom().uniform(0, _CONFLICT_PAUSE))
    return write()
