"""Imports files for tests, and looks at the contacts and files that jobs leave."""

import csv
import io
from typing import Any

from job_runners.aws import bucket
from job_runners.shipped.campaigns import contact_queries
from job_runners.shipped.campaigns.contact import Contact, organization_campaign
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from recording_job import RecordingJob

KEY = "uploads/acme/contacts.csv"
HEADER = "first_name,last_name,cell\n"
ANN = "Ann,Lee,(212) 555-0123\n"


def run(file: str | bytes, *, country: str = "US", job: RecordingJob | None = None) -> Any:
    """Upload a file for acme and import it; the job's result."""
    bucket.put_bytes(KEY, file.encode() if isinstance(file, str) else file)
    return import_contacts(job or RecordingJob(), ImportContacts(key=KEY, country=country))


def contacts(organization: str = "acme", campaign: str = "spring") -> list[dict[str, Any]]:
    """Return a campaign's contacts by number, as plain values."""
    key = organization_campaign(organization, campaign)
    found = [contact.attribute_values for contact, _ in contact_queries.contacts(key)]
    for each in found:
        assert each.pop("organization_campaign") == key
    return found


def cells(**whose: str) -> list[str]:
    """Return the numbers of a campaign's contacts."""
    return [each["cell"] for each in contacts(**whose)]


def keep(
    count: int, campaign: str = "spring", organization: str = "acme", *, first: int = 0
) -> None:
    """Contacts of a campaign, as an import would leave them."""
    key = organization_campaign(organization, campaign)
    with Contact.batch_write() as batch:
        for number in range(first, first + count):
            cell = f"+1212555{number:04d}"
            batch.save(Contact(key, cell, first_name=f"Ann {number}", last_name="Lee"))


def texters(campaign: str = "spring") -> list[str | None]:
    """Who texts each contact of acme's campaign, in the order of their numbers."""
    found = contact_queries.assignments(organization_campaign("acme", campaign))
    return [assignment and assignment.texter for _, assignment in found]


def statuses(campaign: str = "spring") -> list[str | None]:
    """How far the first message of each is, in the same order."""
    found = contact_queries.assignments(organization_campaign("acme", campaign))
    return [assignment and str(assignment.message_status) for _, assignment in found]


def rows_of(key: str) -> list[list[str]]:
    """Return a CSV file of the bucket, header first."""
    return list(csv.reader(io.StringIO(bucket.get_bytes(key).decode(), newline="")))
