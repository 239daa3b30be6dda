"""The settings of an imaginary stack, for measurements without a real one."""

import os

from job_runners.places import CODE

WORKER = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "JOB_RUNNER": "lambda-async",
    "WORKER_LAMBDA_FUNCTION_NAME": WORKER,
    "DELAY_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/delay",
    "JOBS_TABLE_NAME": "jobs",
    "COORDINATION_TABLE_NAME": "coordination",
    "BUCKET_NAME": "bucket",
    "POWERTOOLS_SERVICE_NAME": "job-runners",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    "PYDANTIC_DISABLE_PLUGINS": "true",  # as in the template
}
# The programs that are measured, and the package with their jobs.
PROGRAMS = CODE / "benchmarks" / "programs"
WORK = {"PYTHONPATH": f"{CODE}:{PROGRAMS}", "JOBS_PACKAGES": "bench_work"}
