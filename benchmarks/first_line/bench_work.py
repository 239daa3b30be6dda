"""A module with a job for EXTENSIONS, like that of an organization."""

from work import Job

JOBS = {"bench_typed": Job("bench_job:typed")}
