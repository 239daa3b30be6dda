"""python -m job_runners.cli: the `jobs` command."""

from job_runners.cli.app import jobs

jobs(prog_name="jobs")
