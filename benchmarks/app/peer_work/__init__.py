"""The measured jobs and task. Each peer's task does the same work as far as possible."""

from job_runners.work import Job, Retry, Task

JOBS = {
    "peer_job": Job("peer_work.jobs:note"),
    "peer_job_tagged": Job("peer_work.jobs:note", retry=Retry(max_attempts=3, base=1)),
}
TASKS = {"peer_task": Task("peer_work.jobs:take")}
