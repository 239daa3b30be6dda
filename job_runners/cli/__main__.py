"""python -m job_runners.cli: the command `job-runners`."""

from job_runners.cli.app import jobs

jobs(prog_name="job-runners")
