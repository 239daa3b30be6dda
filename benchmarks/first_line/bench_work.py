"""An organisation's module with a job, as EXTENSIONS names it."""

from work import Job

JOBS = {"bench_typed": Job("bench_job:typed")}
