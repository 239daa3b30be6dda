"""A package with a job, like that of an organization."""

from job_runners.work import Job

JOBS = {"bench_typed": Job("bench_job:typed")}
