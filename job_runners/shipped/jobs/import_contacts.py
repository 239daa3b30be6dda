"""Import a campaign's contacts from a CSV file of any size, and report the rejected rows."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from job_runners.shipped.campaigns import used_campaigns
from job_runners.shipped.campaigns.bucket_keys import campaign_of, check_upload
from job_runners.shipped.campaigns.importing.import_state import ContactImport
from job_runners.shipped.campaigns.importing.writer import ContactWriter
from job_runners.shipped.campaigns.messaging.numbers import why_not_allowed
from job_runners.work import RunningJob


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
    or part of it twice, writes the same contacts again.
    """
    check_upload(job, payload.key)
    work = ContactImport(job, payload.key, payload.country, why_not_allowed)
    if job.cursor is None:
        used_campaigns.note(job.organization_id, campaign_of(job))
    with ContactWriter(job.time_left) as writer:
        for chunk in work.chunks():
            writer.write(work.take(chunk))
            work.save()
            job.checkpoint(work.cursor, progress=work.progress, message=work.message)
    return work.finish(report=lambda: job.checkpoint(message=work.message))
