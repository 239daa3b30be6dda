"""An organization's package that has a runner but no jobs. Add your own to these tables."""

from job_runners.work import Job, Task

JOBS: dict[str, Job] = {}
TASKS: dict[str, Task] = {}
