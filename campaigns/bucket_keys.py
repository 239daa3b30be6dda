"""Which files in the bucket a job may read and write: those of its own organisation."""

from campaigns.errors import UnusableFile
from errors import DoNotRetry
from work.running_job import RunningJob


def check_upload(job: RunningJob, key: str) -> None:
    """Raise UnusableFile unless `key` is a file that the job's organisation uploaded."""
    folder = ["uploads", job.organization_id]
    parts = key.split("/")
    if parts[:2] != folder or len(parts) < 3 or not {"", ".", ".."}.isdisjoint(parts):
        raise UnusableFile(repr(key), f"key must name a file under {'/'.join(folder)}/")


def result_key(job: RunningJob, name: str) -> str:
    """Where a file that a job makes for its organisation goes."""
    return f"{job.result_folder}/{name}"


def campaign_of(job: RunningJob) -> str:
    """Return the campaign that the job was dispatched for; raises DoNotRetry if there is none."""
    if not job.campaign_id:
        raise DoNotRetry("campaign_id is missing: whose contacts are these?")
    return job.campaign_id
