"""Simulate AWS in this process with moto, and create the template's tables and bucket there."""

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

WORKER = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "JOBS_TABLE_NAME": "jobs",
    "COORDINATION_TABLE_NAME": "coordination",
    "BUCKET_NAME": "bucket",
    "PUBLIC_URL": "https://jobs.example",
    "JOB_RUNNER": "legacy",
    "JOBS_SYNC": "true",
    "TASKS_SYNC": "true",
    "POWERTOOLS_SERVICE_NAME": "job-runners",
    "POWERTOOLS_METRICS_NAMESPACE": "JobRunners",
}
# A shell may have these variables. They would select another AWS, or make code act as in Lambda.
UNSET = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_LAMBDA_FUNCTION_NAME")


@contextmanager
def mocked_aws(environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Create the tables and the bucket on moto. Set ENVIRONMENT and these additional variables."""
    with process_settings(ENVIRONMENT | dict(environment or {}), unset=UNSET), on_moto():
        yield


def own_settings() -> dict[str, str]:
    """Return JOBS_PROJECT and the variables that the project's samconfig.toml sets.

    Variables that the environment already has are left out. Without a project, there are none.
    """
    path = project_path()
    if path is None:
        return {}
    variables = {settings.PROJECT_VARIABLE: str(path), **work_variables()}
    return {name: value for name, value in variables.items() if name not in os.environ}


@contextmanager
def on_moto() -> Iterator[None]:
    """Create the tables and the bucket on moto, without a change of the settings."""
    with boundary.mocked_aws():
        create_tables()
        create_bucket()
        yield


@contextmanager
def process_settings(
    environment: Mapping[str, str], *, unset: Sequence[str] = ()
) -> Iterator[None]:
    """Act as a new process in this block, with these environment variables.

    The variables in `unset` are removed, unless `environment` has them.
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
    """Clear what a new process doesn't have, such as cached settings, clients and the registry."""
    settings.forget()
    clients.drop_clients()
    caches.forget_all()
    get_job_runner.cache_clear()
    sender.cache_clear()
    registry.cache_clear()


def create_tables() -> None:
    """Create the two tables of the template."""
    stack_tables.create(ENVIRONMENT["JOBS_TABLE_NAME"], ENVIRONMENT["COORDINATION_TABLE_NAME"])


def create_bucket() -> None:
    """Create the bucket."""
    moto_direct.create_bucket(ENVIRONMENT["BUCKET_NAME"])
