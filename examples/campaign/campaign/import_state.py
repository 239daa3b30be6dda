"""The state of an import (its counts, seen numbers and rejected rows), and its cursor."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from campaign.contact_rows import ContactRows, RejectedRow
from campaign.contacts import Contact
from campaign.contacts_file import ContactsFile
from campaign.csv_records import Position, Record
from campaign.csv_text import CONTENT_TYPE
from campaign.findings import RejectedRows, SeenNumbers
from campaign.pieces import Pieces
from job_runners.work import RunningJob

# One chunk is in memory at a time, and may be repeated after an interruption. After each chunk, the
# job checks whether it was canceled. A chunk of any file takes only seconds.
CHUNK_ROWS = 1000
CHUNK_BYTES = 256 * 1024  # to read, including empty rows; about the same number is written


class Chunk(NamedTuple):
    """Some of the rows, and the position after them."""

    rows: list[Record]
    end: Position


class ContactImport:
    """An import that continues at the job's cursor, which has its whole state. `campaign` is the
    hash key of the contacts."""

    def __init__(self, job: RunningJob, campaign: str, key: str, country: str) -> None:
        cursor = job.cursor or {}
        self._job = job
        self._file = ContactsFile(job, key, cursor.get("etag"))
        self._at = Position(*cursor["at"]) if cursor else self._file.first_row
        self._imported, self._invalid, self._repeated = cursor.get("counts", (0, 0, 0))
        self._rows = ContactRows(self._file.columns, campaign, country)
        self._pieces = {name: Pieces(job, cursor.get(name, [])) for name in ("seen", "rejected")}
        self._seen = SeenNumbers(self._pieces["seen"])
        self._rejected = RejectedRows(self._pieces["rejected"], self._file.columns.names)
        self._rejected_key = job.result_file("rejected.csv")

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows not yet done, in chunks of bounded size."""
        taken: list[Record] = []
        size = 0
        for row in self._file.rows(self._at):
            size += row.end.offset - row.start.offset
            if row.fields:
                taken.append(row)
                size += self._file.columns.names_size  # each contact stores them
            if len(taken) == CHUNK_ROWS or size >= CHUNK_BYTES:
                yield Chunk(taken, row.end)
                taken, size = [], 0
        if size:
            yield Chunk(taken, row.end)

    def take(self, chunk: Chunk) -> list[Contact]:
        """Return the contacts in a chunk, and count and reject its other rows.

        From now on, `cursor` includes the chunk.
        """
        contacts = []
        for row in chunk.rows:
            try:
                contact = self._rows.contact(row)
            except RejectedRow as rejected:
                self._invalid += 1
                self._reject(row, str(rejected))
                continue
            if self._seen.add(contact.cell):
                contacts.append(contact)
            else:
                self._repeated += 1
                self._reject(row, "has the number of an earlier row")
        self._imported += len(contacts)
        self._seen.save()
        self._rejected.save()
        self._at = chunk.end
        return contacts

    def finish(self) -> dict[str, Any]:
        """Write the file of rejected rows, if there are any, and return the job's result."""
        count = self._invalid + self._repeated
        if count:
            file = self._rejected.file()
            self._job.write_file(self._rejected_key, file, content_type=CONTENT_TYPE)
        return {
            "rows": self._imported + count,
            "imported": self._imported,
            "invalid": self._invalid,
            "repeated": self._repeated,
            "rejected": {"file": self._rejected_key, "rows": count} if count else None,
        }

    @property
    def cursor(self) -> dict[str, Any]:
        """The state from which another invocation continues, as JSON."""
        return {
            "etag": self._file.etag,
            "at": list(self._at),
            "counts": [self._imported, self._invalid, self._repeated],
            **{name: pieces.cursor for name, pieces in self._pieces.items()},
        }

    @property
    def progress(self) -> float:
        """The finished share of the file, in percent."""
        return 100 * self._at.offset / self._file.size

    @property
    def message(self) -> str:
        """The progress, for the user."""
        rows = self._imported + self._invalid + self._repeated
        return f"{_count(rows, 'row')} read, {_count(self._imported, 'contact')} imported"

    def _reject(self, row: Record, reason: str) -> None:
        self._rejected.add(row.start.row + 1, reason, row.fields)


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular}" if number == 1 else f"{number:,} {singular}s"
