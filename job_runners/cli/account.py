"""Check the AWS account and region of a deploy.

`job-runners deploy` calls this first, so that a mistake shows before the build of half a minute.
"""

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

    Also set the profile of --profile for sam and all other processes that this one starts. Raises
    Problem and botocore's errors.
    """
    endpoint_url = local_aws.endpoint_url()
    local_stack = local_aws.running_stack()
    if local_stack and local_stack.endpoint_url == endpoint_url:
        # The local AWS runs code built for this machine. A deploy would replace it with code built
        # for Lambda.
        raise Problem(
            "AWS_ENDPOINT_URL is the local AWS of job-runners run, which deploys your code itself.",
            hint="Use a terminal in which you haven't run `. .local/env.sh`.",
            code=Exit.NO_ACCESS,
        )
    if target.profile:
        os.environ["AWS_PROFILE"] = target.profile
        for name in _KEY_VARIABLES:  # botocore would prefer the keys to AWS_PROFILE
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
