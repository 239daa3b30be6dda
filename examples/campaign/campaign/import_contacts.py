"""Import a campaign's contacts from a CSV file of any size, and report the rejected rows."""

from itertools import takewhile
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from campaign.contact_rows import ContactRows, normalizer
from campaign.contacts import CampaignId, organization_campaign
from campaign.contacts_file import ContactsFile
from campaign.csv_records import Position
from campaign.errors import UnusableFile
from campaign.findings import FileParts, SkippedRows
from campaign.import_state import ContactImport, chunks
from campaign.sms import number_rule
from campaign.throttled_writer import ContactWriter
from job_runners.work import DoNotRetry, Member, RunningJob

_PART = "import_contacts_part"  # the job that writes the contacts of a part of a large file


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
    or part of it twice, writes the same contacts again. The rows of a large file are only checked
    here. Then other jobs write its contacts, a part of the file each.
    """
    _check_upload(job, payload.key)
    campaign = organization_campaign(job.organization_id, payload.campaign)
    work = ContactImport(job, campaign, payload.key, payload.country, number_rule())
    with ContactWriter(job.time_left) as writer:
        for chunk in work.chunks():
            contacts = work.take(chunk)
            if work.parts is None:
                writer.write(contacts)
            work.save()
            job.checkpoint(work.cursor, progress=work.progress, message=work.message)
    if work.parts is not None:
        _import_parts(job, payload, work.etag, work.parts)
    return work.finish(report=lambda: job.checkpoint(message=work.message))


def _import_parts(job: RunningJob, payload: ImportContacts, etag: str, parts: FileParts) -> None:
    """Have other jobs write the contacts, and wait until all have ended."""
    members = (
        Member(
            _PART,
            {
                "campaign": payload.campaign,
                "key": payload.key,
                "country": payload.country,
                "etag": etag,
                "start": start,
                "end": end,
                "skipped": skipped,
            },
        )
        for start, end, skipped in parts
    )
    job.checkpoint(durable=True)  # so that a later leg doesn't split the file differently
    results = job.gather("parts", members)
    failed = sum(part.status != "succeeded" for part in results)
    if failed:
        raise DoNotRetry(
            f"{failed} of the file's {results.total} parts were not imported. "
            "Retry the jobs of these parts, and then retry this job."
        )


class ImportContactsPart(BaseModel):
    """A part of a file. The job import_contacts creates these payloads."""

    model_config = ConfigDict(extra="forbid")

    campaign: CampaignId
    key: str
    country: str
    etag: str  # of the file when its rows were checked
    start: tuple[int, int, int]  # the bytes, rows and lines before the part
    end: int  # the bytes up to its end
    skipped: str  # the key of the file that has the rows to skip


def import_contacts_part(job: RunningJob, payload: ImportContactsPart) -> None:
    """Write the part's contacts in chunks, with a checkpoint after each."""
    _check_upload(job, payload.key)
    skipped = SkippedRows(job.read_file(payload.skipped))
    file = ContactsFile(job, payload.key, payload.etag)
    campaign = organization_campaign(job.organization_id, payload.campaign)
    rows = ContactRows(file.columns, campaign, normalizer(payload.country), lambda cell: None)
    start = Position(*(job.cursor or payload.start))
    left = takewhile(lambda row: row.start.offset < payload.end, file.rows(start))
    size = payload.end - payload.start[0]
    with ContactWriter(job.time_left) as writer:
        for chunk in chunks(left, file.columns.names_size):
            writer.write([rows.contact(row) for row in chunk.rows if row not in skipped])
            done = chunk.end.offset - payload.start[0]
            job.checkpoint(list(chunk.end), progress=100 * done / size)


def _check_upload(job: RunningJob, key: str) -> None:
    """Raise UnusableFile unless `key` is in the uploads of the job's organization. A job may read
    result files too."""
    folder = f"uploads/{job.organization_id}/"
    if not key.startswith(folder):
        raise UnusableFile(repr(key), f"the key must be that of a file under {folder}")
