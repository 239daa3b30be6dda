"""Check the AWS account and the region, before `job-runners deploy` builds for half a minute."""

import os
from typing import Any

import click
from botocore.exceptions import NoRegionError

from job_runners.cli import local_aws
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def region(target: Target) -> str:
    """Return the region to deploy to, and print the account.

    From here on, sam and all other processes use the profile of --profile too. Raises Problem, and
    errors of botocore.
    """
    endpoint_url = local_aws.endpoint_url()
    running = local_aws.find()
    if running and running.endpoint_url == endpoint_url:
        # A deploy would replace the code that is built for this machine.
        raise Problem(
            "AWS_ENDPOINT_URL is the local AWS of job-runners run, which deploys your code itself.",
            hint="Use a terminal in which you haven't run `. .local/env.sh`.",
            code=Exit.NO_ACCESS,
        )
    if target.profile:
        os.environ["AWS_PROFILE"] = target.profile
        for name in _KEYS:  # in a process that isn't told a profile, they would win
            os.environ.pop(name, None)
    region: str | None = target.session.get_config_variable("region")
    if region is None:
        raise NoRegionError
    sts: Any = target.session.create_client("sts")
    caller = sts.get_caller_identity()
    destination = f"account {caller['Account']}, {region}"
    if endpoint_url:
        destination += f" of the AWS at {endpoint_url}"
    click.echo(f"Deploying to {destination}, as {caller['Arn']}", err=True)
    return region
