"""The work that is measured: the same for Job Runners and for each peer, as far as it goes."""

from work import Job, Task

JOBS = {"peer_job": Job("peer_work.jobs:note")}
TASKS = {"peer_task": Task("peer_work.jobs:take")}
