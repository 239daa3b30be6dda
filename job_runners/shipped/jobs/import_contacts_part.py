"""Write the contacts in a part of a large file. The job import_contacts has checked its rows."""

from itertools import takewhile

from pydantic import BaseModel, ConfigDict

from job_runners.shipped.campaigns.bucket_keys import campaign_of, check_upload
from job_runners.shipped.campaigns.contact import organization_campaign
from job_runners.shipped.campaigns.importing.csv_records import Position
from job_runners.shipped.campaigns.importing.file import ContactsFile
from job_runners.shipped.campaigns.importing.import_state import chunks
from job_runners.shipped.campaigns.importing.parts import SkippedRows
from job_runners.shipped.campaigns.importing.phone_numbers import normalizer
from job_runners.shipped.campaigns.importing.rows import ContactRows
from job_runners.shipped.campaigns.importing.writer import ContactWriter
from job_runners.work import RunningJob


class ImportContactsPart(BaseModel):
    """A part of a file. The job import_contacts creates these payloads."""

    model_config = ConfigDict(extra="forbid")

    key: str
    country: str
    etag: str  # of the file when its rows were checked
    start: tuple[int, int, int]  # the bytes, rows and lines before the part
    end: int  # the bytes up to its end
    skipped: str  # the key of the file that has the rows to skip


def import_contacts_part(job: RunningJob, payload: ImportContactsPart) -> None:
    """Write the part's contacts in chunks, with a checkpoint after each."""
    check_upload(job, payload.key)
    skipped = SkippedRows(job.read_file(payload.skipped))
    file = ContactsFile(job, payload.key, payload.etag)
    campaign = organization_campaign(job.organization_id, campaign_of(job))
    rows = ContactRows(file.columns, campaign, normalizer(payload.country), lambda cell: None)
    start = Position(*(job.cursor or payload.start))
    left = takewhile(lambda row: row.start.offset < payload.end, file.rows(start))
    size = payload.end - payload.start[0]
    with ContactWriter(job.time_left) as writer:
        for chunk in chunks(left, file.columns.names_size):
            writer.write([rows.contact(row) for row in chunk.rows if row not in skipped])
            done = chunk.end.offset - payload.start[0]
            job.checkpoint(list(chunk.end), progress=100 * done / size)
