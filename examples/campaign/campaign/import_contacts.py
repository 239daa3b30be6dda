"""Import a campaign's contacts from a CSV file, and report the rejected rows."""

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from campaign.contacts import CampaignId, Contact, organization_campaign, write
from campaign.contacts_file import ContactsFile, Position, Row
from campaign.csv_text import CONTENT_TYPE, CsvText
from campaign.errors import UnusableFile
from campaign.pieces import Pieces
from campaign.sms import why_not_allowed
from job_runners.work import DoNotRetry, RunningJob

# With the custom fields' names, even a row of characters of four bytes then fits into an item.
_LONGEST_ROW = 90_000  # characters
_COUNTS = ("imported", "invalid", "repeated")


class ImportContacts(BaseModel):
    """The file to import into a campaign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"campaign": "spring", "key": "uploads/acme/contacts.csv"}],
        },
    )

    campaign: CampaignId
    key: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="The key of the CSV file in the bucket, under uploads/<organization_id>/. The "
        "columns first_name, last_name and cell are required. The columns zip and external_id are "
        "optional, and all others become custom fields.",
        examples=["uploads/acme/contacts.csv"],
    )
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] = Field(
        default="US",
        description="The country of numbers without a country code: two capital letters "
        "(ISO 3166).",
        examples=["US", "GB"],
    )


def import_contacts(job: RunningJob, payload: ImportContacts) -> dict[str, Any]:
    """Write the file's contacts in chunks, with a checkpoint after each.

    If several rows have the same phone number, the first one counts. Importing the same file again,
    or part of it twice, writes the same contacts again.
    """
    folder = f"uploads/{job.organization_id}/"
    if not payload.key.startswith(folder):  # a job may read result files too
        raise UnusableFile(repr(payload.key), f"the key must be that of a file under {folder}")
    return _Import(job, payload).run()


class _RejectedRow(Exception):
    """The row can't become a contact. The message is the reason, for the person who fixes it."""


class _Import:
    """An import that continues at the job's cursor, which has its whole state."""

    def __init__(self, job: RunningJob, payload: ImportContacts) -> None:
        cursor = job.cursor or {"counts": (0, 0, 0), "numbers": [], "rejected": []}
        self._job = job
        self._file = ContactsFile(job, payload.key, cursor.get("etag"))
        self._at = Position(*cursor.get("at", self._file.first_row))
        self._counts = Counter(dict(zip(_COUNTS, cursor["counts"], strict=True)))
        self._numbers, self._rejected = (Pieces(job, cursor[n]) for n in ("numbers", "rejected"))
        self._seen = {number for data in self._numbers.read() for number in array("Q", data)}
        self._rows = _Rows(self._file.columns, payload.country)
        self._campaign = organization_campaign(job.organization_id, payload.campaign)

    def run(self) -> dict[str, Any]:
        """Import the rows that are left, and return the job's result."""
        for chunk in self._file.chunks(self._at):
            write(self._contacts(chunk))
            self._at = chunk[-1].end
            self._checkpoint()
        counts = self._counts
        rejected = None
        if rows := counts["invalid"] + counts["repeated"]:
            header = CsvText()
            header.add(["row", "reason", *self._file.columns])
            key = self._job.result_file("rejected.csv")
            file = chain([header.take()], self._rejected.read())
            self._job.write_file(key, file, content_type=CONTENT_TYPE)
            rejected = {"file": key, "rows": rows}
        return {"rows": counts.total(), **counts, "rejected": rejected}

    def _contacts(self, chunk: Sequence[Row]) -> list[Contact]:
        """Return the contacts in a chunk. Count and reject the other rows."""
        contacts, numbers, rejected = [], array("Q"), CsvText()
        for row in chunk:
            if not row.values:
                continue
            try:
                contact = self._rows.contact(row.values, self._campaign)
                kind, reason = "repeated", "has the number of an earlier row"
            except _RejectedRow as error:
                kind, reason = "invalid", str(error)
            else:
                number = int(contact.cell[1:])
                if number not in self._seen:
                    self._seen.add(number)
                    numbers.append(number)
                    contacts.append(contact)
                    continue
            self._counts[kind] += 1
            rejected.add([str(row.end.row), reason, *row.values])
        self._counts["imported"] += len(contacts)
        self._numbers.add(numbers.tobytes())
        self._rejected.add(rejected.take())
        return contacts

    def _checkpoint(self) -> None:
        rows, imported = self._counts.total(), self._counts["imported"]
        self._job.checkpoint(
            {
                "etag": self._file.etag,
                "at": self._at,
                "counts": [self._counts[name] for name in _COUNTS],
                "numbers": self._numbers.cursor,
                "rejected": self._rejected.cursor,
            },
            progress=100 * self._at.offset / self._file.size,
            message=f"{_count(rows, 'row')} read, {_count(imported, 'contact')} imported",
        )


class _Rows:
    """Turns rows into contacts. `country` is that of numbers without a country code."""

    def __init__(self, columns: list[str], country: str) -> None:
        # Imported here because the import takes 20 ms. The API imports every job's module for its
        # payload, but never calls this function.
        import phonenumbers

        if country not in phonenumbers.SUPPORTED_REGIONS:
            raise DoNotRetry(
                f"country {country!r} has no phone numbers; use a two-letter code such as US or GB"
            )
        self._phonenumbers = phonenumbers
        self._columns, self._country = columns, country

    def contact(self, values: list[str], campaign: str) -> Contact:
        """Return the row's contact, which is always the same for the same row.

        Raises _RejectedRow.
        """
        if len(values) != len(self._columns):
            expected = len(self._columns)
            raise _RejectedRow(f"has {len(values)} columns, but the header has {expected}")
        if sum(map(len, values)) > _LONGEST_ROW:
            raise _RejectedRow("is too large")
        fields = {name: value.strip() for name, value in zip(self._columns, values, strict=True)}
        return Contact(
            organization_campaign=campaign,
            cell=self._cell(fields.pop("cell")),
            first_name=fields.pop("first_name"),
            last_name=fields.pop("last_name"),
            zip=fields.pop("zip", None) or None,
            external_id=fields.pop("external_id", None) or None,
            custom_fields=fields or None,
        )

    def _cell(self, written: str) -> str:
        """Return a written number as E.164 (+12125550123). Raises _RejectedRow."""
        if not written:
            raise _RejectedRow("has no phone number")
        try:
            number = self._phonenumbers.parse(written, self._country)
        except self._phonenumbers.NumberParseException:
            number = None
        if number is None or not self._phonenumbers.is_valid_number(number):
            raise _RejectedRow("is not a valid phone number")
        cell: str = self._phonenumbers.format_number(
            number, self._phonenumbers.PhoneNumberFormat.E164
        )
        if why := why_not_allowed(cell):
            raise _RejectedRow(f"has a number that {why}")
        return cell


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular}" if number == 1 else f"{number:,} {singular}s"
