"""The measured job and task."""

from job_runners.work import Job, Task

JOBS = {"peer_job": Job("peer_work.jobs:note")}
TASKS = {"peer_task": Task("peer_work.jobs:take")}
