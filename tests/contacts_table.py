"""What tests say to the contacts table and the bucket, in a word each."""

import csv
import io
from typing import Any

from jobs.contacts import Contact, organization_campaign
from store import bucket


def contacts(organization: str = "acme", campaign: str = "spring") -> list[dict[str, Any]]:
    """A campaign's contacts by number, as plain values."""
    key = organization_campaign(organization, campaign)
    found = [each.attribute_values for each in Contact.query(key, consistent_read=True)]
    for each in found:
        assert each.pop("organization_campaign") == key
    return found


def cells(**whose: str) -> list[str]:
    """The numbers of a campaign's contacts."""
    return [each["cell"] for each in contacts(**whose)]


def rows_of(key: str) -> list[list[str]]:
    """A CSV file of the bucket, header first."""
    return list(csv.reader(io.StringIO(bucket.get_bytes(key).decode(), newline="")))
