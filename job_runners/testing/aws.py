"""Simulate AWS in this process with moto, with the tables and the bucket of template.yaml."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from job_runners import caches, settings
from job_runners.aws import clients
from job_runners.building.app_folder import project_path
from job_runners.building.samconfig import work_variables
from job_runners.engine.configured import get_job_runner, sender
from job_runners.engine.registry.registry import registry
from job_runners.fake_dynamodb import boundary, stack_tables
from job_runners.testing import moto_direct

WORKER_ARN = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "JOBS_TABLE_NAME": "jobs",
    "COORDINATION_TABLE_NAME": "coordination",
    "BUCKET_NAME": "bucket",
    "PUBLIC_URL": "https://jobs.example",
    "JOB_RUNNER": "legacy",  # with the next two, dispatching a job or a task runs it at once
    "JOBS_SYNC": "true",
    "TASKS_SYNC": "true",
    "POWERTOOLS_SERVICE_NAME": "job-runners",
    "POWERTOOLS_METRICS_NAMESPACE": "JobRunners",
}
# If the developer's shell has these variables, calls would go elsewhere, or code would act as if it
# ran in Lambda.
UNSET = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_LAMBDA_FUNCTION_NAME")


@contextmanager
def process_on_simulated_aws(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Act as a new process on a simulated AWS, with ENVIRONMENT and these additional variables."""
    variables = {**ENVIRONMENT, **(environment or {})}
    with as_new_process(variables, unset=UNSET), simulated_stack():
        yield


def project_settings() -> dict[str, str]:
    """Return JOBS_PROJECT, and the variables that the project's samconfig.toml sets.

    This leaves out variables that are already set. Without a project, it returns an empty dict.
    """
    path = project_path()
    if path is None:
        return {}
    variables = {settings.PROJECT_VARIABLE: str(path), **work_variables()}
    return {name: value for name, value in variables.items() if name not in os.environ}


@contextmanager
def simulated_stack() -> Iterator[None]:
    """Simulate AWS with empty tables and an empty bucket, without changing any settings."""
    with boundary.mocked_aws():
        create_tables()
        create_bucket()
        yield


@contextmanager
def as_new_process(environment: Mapping[str, str], *, unset: Sequence[str] = ()) -> Iterator[None]:
    """Act as a new process that has these environment variables in addition.

    The variables in `unset` are removed, unless `environment` sets them.
    """
    original = dict(os.environ)
    os.environ.update(environment)
    for variable in set(unset) - set(environment):
        os.environ.pop(variable, None)
    forget()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(original)
        forget()


def forget() -> None:
    """Clear all caches, such as those of settings, clients and the registry."""
    settings.forget()
    clients.drop_clients()
    caches.forget_all()
    get_job_runner.cache_clear()
    sender.cache_clear()
    registry.cache_clear()


def create_tables() -> None:
    """Create the two tables that ENVIRONMENT names."""
    stack_tables.create(ENVIRONMENT["JOBS_TABLE_NAME"], ENVIRONMENT["COORDINATION_TABLE_NAME"])


def create_bucket() -> None:
    """Create the bucket that ENVIRONMENT names."""
    moto_direct.create_bucket(ENVIRONMENT["BUCKET_NAME"])
