"""Check the AWS account and region of a deploy, before a build takes half a minute."""

import os
from typing import Any

import click
from botocore.exceptions import NoRegionError

from job_runners.cli import local_aws
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target

_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def check_account(target: Target) -> str:
    """Check that the credentials work, print their account, and return the region to deploy to.

    Also make sam and other child processes use the profile in --profile. Raises Problem or
    botocore's errors.
    """
    endpoint_url = local_aws.endpoint_url()
    local_stack = local_aws.running_stack()
    if local_stack and local_stack.endpoint_url == endpoint_url:
        # A deploy would replace the local AWS's code, built for this machine, by Lambda's.
        raise Problem(
            "AWS_ENDPOINT_URL is the local AWS of job-runners run, which deploys your code itself.",
            hint="Use a terminal in which you haven't run `. .local/env.sh`.",
            code=Exit.NO_ACCESS,
        )
    if target.profile:
        os.environ["AWS_PROFILE"] = target.profile
        for name in _KEY_VARIABLES:  # they would take precedence over AWS_PROFILE
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
