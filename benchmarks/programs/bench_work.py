"""A package with jobs and a task, like that of an organization."""

from job_runners.work import Job, Task

JOBS = {"bench_typed": Job("bench_job:typed"), "bench_note": Job("bench_job:note")}
TASKS = {"bench_task": Task("bench_job:take")}
