"""Check the AWS account and the region, before `job-runners deploy` builds for half a minute."""

import os
import re
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from job_runners.cli import local_aws
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.refusals import explain
from job_runners.cli.target import Target

_EXAMPLE = """Set AWS_PROFILE and AWS_REGION for job-runners deploy, for example:
  AWS_PROFILE=name AWS_REGION=eu-west-1 job-runners deploy"""


def region() -> str:
    """Return the region to deploy to, and print the account. Raises Problem, whose hint names
    variables, because make and sam take no options of this command."""
    try:
        return _checked_region()
    except Problem as problem:
        problem.hint = f"{_with_variables(problem.hint)}\n{_EXAMPLE}"
        raise


def _checked_region() -> str:
    endpoint_url = local_aws.endpoint_url()
    running = local_aws.find()
    if running and running.endpoint_url == endpoint_url:
        # A deploy would replace the code that is built for this machine.
        raise Problem(
            "AWS_ENDPOINT_URL is the local AWS of job-runners run, which deploys your code itself.",
            hint="Use a terminal in which you haven't run `. .local/env.sh`.",
            code=Exit.NO_ACCESS,
        )
    # The aws command reads AWS_REGION too. sam reads only AWS_DEFAULT_REGION.
    session = Target(region=os.environ.get("AWS_REGION")).session
    try:
        region = session.get_config_variable("region")
        if region is None:
            raise NoRegionError
        sts: Any = session.create_client("sts", region_name=region)
        caller = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        problem = explain(error)
        if problem is None:
            raise
        raise problem from error
    destination = f"account {caller['Account']}, {region}"
    if endpoint_url:
        destination += f" of the AWS at {endpoint_url}"
    click.echo(f"Deploying to {destination}, as {caller['Arn']}", err=True)
    return str(region)


def _with_variables(hint: str) -> str:
    """Return a hint with the command's options replaced by variables."""
    hint = hint.replace(", or pass --region eu-west-1", "")
    hint = re.sub(r" To use the local AWS instead, [^.]*\.", "", hint)
    hint = hint.replace("pass --profile", "set AWS_PROFILE")
    return hint.replace("--profile", "AWS_PROFILE").replace("--region", "AWS_REGION")
