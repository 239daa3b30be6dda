"""Check the file and the campaign of a job."""

from job_runners.errors import DoNotRetry
from job_runners.shipped.campaigns.errors import UnusableFile
from job_runners.work.files import is_in
from job_runners.work.running_job import RunningJob


def check_upload(job: RunningJob, key: str) -> None:
    """Raise UnusableFile unless `key` is in the uploads of the job's organization."""
    folder = f"uploads/{job.organization_id}"
    if not is_in(folder, key):
        raise UnusableFile(repr(key), f"the key must be that of a file under {folder}/")


def campaign_of(job: RunningJob) -> str:
    """Return the job's campaign. Raises DoNotRetry if it has none."""
    if not job.campaign_id:
        raise DoNotRetry("campaign_id is missing, and the job works on a campaign's contacts")
    return job.campaign_id
