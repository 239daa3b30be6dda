"""Export a campaign's contacts to a CSV file of any size."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from job_runners.aws.multipart import PART_SIZE, Upload
from job_runners.errors import UploadGone
from job_runners.shipped.campaigns import contact_queries
from job_runners.shipped.campaigns.assignment import Assignment
from job_runners.shipped.campaigns.bucket_keys import campaign_of
from job_runners.shipped.campaigns.contact import Contact, organization_campaign
from job_runners.shipped.campaigns.csv_text import CONTENT_TYPE, CsvText
from job_runners.work import RunningJob

COLUMNS = (
    *("first_name", "last_name", "cell", "zip", "external_id", "custom_fields"),
    *("texter", "message_status"),
)

# Contacts between two reports of progress. A cursor is saved only after each part of the file,
# which may take long to fill.
_REPORT_EVERY = 500


class ExportContacts(BaseModel):
    """This payload has no fields. The job exports all contacts of its campaign."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})


def export_contacts(job: RunningJob, payload: ExportContacts) -> dict[str, Any]:  # noqa: ARG001
    """Write the contacts to contacts.csv, in the order of their phone numbers.

    If a contact changes during the export, the file has it as it was when the job read it.
    """
    try:
        return _Export(job, job.cursor).run()
    except UploadGone:
        # An earlier attempt completed the upload but couldn't report that, or the upload was
        # cleaned up.
        return _Export(job, None).run()


class _Export:
    """An export, new or resumed. After an interruption, at most one part is repeated."""

    def __init__(self, job: RunningJob, cursor: dict[str, Any] | None) -> None:
        self._job = job
        self._campaign = organization_campaign(job.organization_id, campaign_of(job))
        self._key = job.result_file("contacts.csv")
        self._text = CsvText()
        self._upload: Upload | None = None  # started with the first full part
        self._rows = 0
        self._last: str | None = None
        if cursor:
            # An export that version 0.1.0 started has no key in its cursor.
            self._key = cursor.get("key", f"results/{job.organization_id}/{job.id}/contacts.csv")
            self._upload = Upload(self._key, cursor["upload"], cursor["parts"])
            self._rows, self._last = cursor["rows"], cursor["last"]
        else:
            self._text.add(COLUMNS)

    def run(self) -> dict[str, Any]:
        """Write the rest of the file, and return the job's result."""
        try:
            for contact, assignment in contact_queries.contacts(self._campaign, self._last):
                self._text.add(_values(contact, assignment))
                self._rows += 1
                self._last = contact.cell
                if len(self._text) >= PART_SIZE:
                    self._write_part()
                elif self._rows % _REPORT_EVERY == 0:
                    self._report()
            self._report()
            self._complete()
        except Exception:
            # If no later attempt will continue the upload, its parts would only cost money.
            if self._upload is not None and self._job.last_attempt:
                self._upload.abort()
            raise
        return {"file": self._key, "rows": self._rows}

    def _write_part(self) -> None:
        self._upload = self._upload or Upload.start(self._key, CONTENT_TYPE)
        self._upload.add(self._text.take())
        cursor = {
            "key": self._key,
            "upload": self._upload.id,
            "parts": list(self._upload.parts),
            "rows": self._rows,
            "last": self._last,
        }
        self._report(cursor)

    def _report(self, cursor: dict[str, Any] | None = None) -> None:
        """Report the progress, and stop if the job must not continue. With a cursor, it can resume
        there."""
        message = f"{self._rows:,} contacts written"
        if not self._rows:
            message = f"campaign {self._job.campaign_id!r} has no contacts"
        self._job.checkpoint(cursor, message=message)

    def _complete(self) -> None:
        rest = self._text.take()
        if self._upload is None:
            self._job.write_file(self._key, rest, content_type=CONTENT_TYPE)
            return
        if rest:
            self._upload.add(rest)
        self._upload.complete()


def _values(contact: Contact, assignment: Assignment | None) -> tuple[str, ...]:
    custom = contact.custom_fields
    return (
        contact.first_name,
        contact.last_name,
        contact.cell,
        contact.zip or "",
        contact.external_id or "",
        # One column for all, because the set of custom fields is known only after the last contact.
        json.dumps(custom, ensure_ascii=False, sort_keys=True) if custom else "",
        assignment.texter if assignment else "",
        assignment.message_status if assignment else "",
    )
