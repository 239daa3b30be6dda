"""Import a campaign's contacts from a CSV file of any size, and report the rejected rows."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from campaign.contacts import CampaignId, organization_campaign
from campaign.errors import UnusableFile
from campaign.import_state import ContactImport
from campaign.throttled_writer import ContactWriter
from job_runners.work import RunningJob


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
    _check_upload(job, payload.key)
    campaign = organization_campaign(job.organization_id, payload.campaign)
    work = ContactImport(job, campaign, payload.key, payload.country)
    with ContactWriter(job.time_left) as writer:
        for chunk in work.chunks():
            writer.write(work.take(chunk))
            job.checkpoint(work.cursor, progress=work.progress, message=work.message)
    return work.finish()


def _check_upload(job: RunningJob, key: str) -> None:
    """Raise UnusableFile unless `key` is in the uploads of the job's organization. A job may read
    result files too."""
    folder = f"uploads/{job.organization_id}/"
    if not key.startswith(folder):
        raise UnusableFile(repr(key), f"the key must be that of a file under {folder}")
