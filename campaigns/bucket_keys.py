"""Which file and which campaign a job is about."""

from campaigns.errors import UnusableFile
from errors import DoNotRetry
from work.files import is_in
from work.running_job import RunningJob


def check_upload(job: RunningJob, key: str) -> None:
    """Raise UnusableFile unless `key` is a file that the job's organisation uploaded."""
    folder = f"uploads/{job.organization_id}"
    if not is_in(folder, key):
        raise UnusableFile(repr(key), f"key must name a file under {folder}/")


def campaign_of(job: RunningJob) -> str:
    """Return the campaign that the job was dispatched for; raises DoNotRetry if there is none."""
    if not job.campaign_id:
        raise DoNotRetry("campaign_id is missing: whose contacts are these?")
    return job.campaign_id
