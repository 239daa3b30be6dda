"""Turn each row of a contacts file into a contact, or reject it with a reason."""

import json
from collections.abc import Callable

from campaign.columns import Columns
from campaign.contacts import Contact
from campaign.csv_records import Record
from campaign.sms import number_rule
from job_runners.work import DoNotRetry

# A little less than DynamoDB's limit for an item.
_LARGEST_ITEM = 400_000  # bytes
# A row and a header of this many bytes together always fit, although the item may be several times
# as large.
_SURELY_FITS = 32_000


class RejectedRow(Exception):
    """The row can't become a contact. The message is the reason, for the person who fixes it."""


class ContactRows:
    """Turns rows into contacts of one campaign. `country` is that of numbers without a country
    code."""

    def __init__(self, columns: Columns, organization_campaign: str, country: str) -> None:
        self._columns = columns
        self._width = len(columns.names)
        self._organization_campaign = organization_campaign
        self._normalize = _normalizer(country)
        self._why_not_allowed = number_rule()

    def contact(self, row: Record) -> Contact:
        """Return the row's contact, which is always the same for the same row.

        Raises RejectedRow.
        """
        if len(row.fields) != self._width:
            raise RejectedRow(f"has {len(row.fields)} columns, but the header has {self._width}")
        contact = self._contact([field.strip() for field in row.fields])
        size = row.end.offset - row.start.offset + self._columns.names_size
        if size > _SURELY_FITS and _item_size(contact) > _LARGEST_ITEM:
            raise RejectedRow("is too large")
        return contact

    def _contact(self, fields: list[str]) -> Contact:
        columns = self._columns
        written = fields[columns.cell]
        if not written:
            raise RejectedRow("has no phone number")
        cell = self._normalize(written)
        if cell is None:
            raise RejectedRow("is not a valid phone number")
        if why := self._why_not_allowed(cell):
            raise RejectedRow(f"has a number that {why}")
        return Contact(
            organization_campaign=self._organization_campaign,
            cell=cell,
            first_name=fields[columns.first_name],
            last_name=fields[columns.last_name],
            zip=_optional(fields, columns.zip),
            external_id=_optional(fields, columns.external_id),
            custom_fields={name: fields[place] for place, name in columns.custom} or None,
        )


def _optional(fields: list[str], place: int | None) -> str | None:
    return None if place is None else fields[place] or None


def _item_size(contact: Contact) -> int:
    # JSON is never shorter than DynamoDB's count of the same names and values.
    return len(json.dumps(contact.item(), ensure_ascii=False).encode())


def _normalizer(country: str) -> Callable[[str], str | None]:
    """Return a function that converts a written number to E.164 (+12125550123).

    It returns None for text that isn't a valid number. `country` (two letters) is the country of
    numbers without a country code. Raises DoNotRetry if there is no such country.
    """
    # Imported here because the import takes 20 ms. The API imports every job's module for its
    # payload, but never calls this function.
    import phonenumbers

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise DoNotRetry(
            f"country {country!r} has no phone numbers; use a two-letter code such as US or GB"
        )

    def normalize(written: str) -> str | None:
        try:
            number = phonenumbers.parse(written, country)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    return normalize
