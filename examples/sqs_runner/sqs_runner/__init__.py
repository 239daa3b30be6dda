"""An organisation's package that has a runner and no work of its own: add yours to these."""

from work import Job, Task

JOBS: dict[str, Job] = {}
TASKS: dict[str, Task] = {}
