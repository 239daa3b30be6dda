"""Export a campaign's contacts to a CSV file of any size."""

import json
from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict

from campaign.contacts import (
    Assignment,
    CampaignId,
    Contact,
    contacts,
    organization_campaign,
)
from campaign.csv_text import CONTENT_TYPE, CsvText
from campaign.pieces import Pieces
from job_runners.work import RunningJob

COLUMNS = (
    *("first_name", "last_name", "cell", "zip", "external_id", "custom_fields"),
    *("texter", "message_status"),
)
PIECE = 8 * 1024 * 1024  # characters in memory, which an interruption may repeat
# Contacts between two reports of progress. A cursor is saved only after each piece of the file,
# which may take long to fill.
_REPORT_EVERY = 500


class ExportContacts(BaseModel):
    """The campaign whose contacts are exported."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"campaign": "spring"}]}
    )

    campaign: CampaignId


def export_contacts(job: RunningJob, payload: ExportContacts) -> dict[str, Any]:
    """Write the contacts to contacts.csv, in the order of their phone numbers.

    If a contact changes during the export, the file has it as it was when the job read it.
    """
    campaign = organization_campaign(job.organization_id, payload.campaign)
    cursor = job.cursor or {"pieces": [], "rows": 0, "last": None}
    pieces, rows, last = Pieces(job, cursor["pieces"]), cursor["rows"], cursor["last"]
    text = CsvText()
    if not rows:
        text.add(COLUMNS)
    for contact, assignment in contacts(campaign, last):
        text.add(_values(contact, assignment))
        rows += 1
        last = contact.cell
        message = f"{rows:,} contacts written"
        if len(text) >= PIECE:
            pieces.add(text.take())
            job.checkpoint({"pieces": pieces.cursor, "rows": rows, "last": last}, message=message)
        elif rows % _REPORT_EVERY == 0:
            job.checkpoint(message=message)
    job.checkpoint(message=f"{rows:,} contacts written" if rows else "the campaign has no contacts")
    file = chain(pieces.read(), [text.take()])
    key = job.write_file(job.result_file("contacts.csv"), file, content_type=CONTENT_TYPE)
    return {"file": key, "rows": rows}


def _values(contact: Contact, assignment: Assignment | None) -> tuple[str, ...]:
    custom = contact.custom_fields
    return (
        contact.first_name,
        contact.last_name,
        contact.cell,
        contact.zip or "",
        contact.external_id or "",
        # One column for all, because the set of custom fields is known only after the last contact.
        json.dumps(dict(custom), ensure_ascii=False, sort_keys=True) if custom else "",
        assignment.texter if assignment else "",
        assignment.message_status if assignment else "",
    )
