"""The jobs of the texting campaign."""

from job_runners.work import Job

JOBS: dict[str, Job] = {}
