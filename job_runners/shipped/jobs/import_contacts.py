"""Import a campaign's contacts from a CSV file of any size, and report the rejected rows."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from job_runners.shipped.campaigns import used_campaigns
from job_runners.shipped.campaigns.bucket_keys import campaign_of, check_upload
from job_runners.shipped.campaigns.importing.import_state import ContactImport
from job_runners.shipped.campaigns.importing.parts import FileParts
from job_runners.shipped.campaigns.importing.writer import ContactWriter
from job_runners.shipped.campaigns.messaging.numbers import why_not_allowed
from job_runners.work import DoNotRetry, Member, RunningJob

_PART = "import_contacts_part"  # the job that writes the contacts of a part of a large file


class ImportContacts(BaseModel):
    """The file to import into the job's campaign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"key": "uploads/acme/contacts.csv", "country": "US"}],
        },
    )

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
    check_upload(job, payload.key)
    work = ContactImport(job, payload.key, payload.country, why_not_allowed)
    if job.cursor is None:
        used_campaigns.note(job.organization_id, campaign_of(job))
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
