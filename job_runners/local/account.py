"""Check the AWS account and the region: python -m job_runners.local.account.

This is the first step of `job-runners deploy`. It prints the region for sam to standard output, and
the account or a problem to standard error.
"""

import os
import re
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from job_runners.cli import local_aws
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.refusals import explain
from job_runners.cli.target import Target
from job_runners.places import COMMAND

_EXAMPLE = f"""Set AWS_PROFILE and AWS_REGION for {COMMAND} deploy, for example:
  AWS_PROFILE=name AWS_REGION=eu-west-1 {COMMAND} deploy"""


def check() -> str:
    """Return the region to deploy to, and print the account. Raises Problem."""
    endpoint_url = local_aws.endpoint_url()
    running = local_aws.find()
    if running and running.endpoint_url == endpoint_url:
        # A deploy would replace the code that is built for this machine.
        raise Problem(
            f"AWS_ENDPOINT_URL is the local AWS of {COMMAND} run, which deploys your code itself.",
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
    print(f"Deploying to {destination}, as {caller['Arn']}", file=sys.stderr)
    return str(region)


def _hint(problem: Problem) -> str:
    """Return the hint of a problem, with the command's options replaced by variables."""
    hint = problem.hint.replace(", or pass --region eu-west-1", "")
    hint = re.sub(r" To use the local AWS instead, [^.]*\.", "", hint)
    hint = hint.replace("pass --profile", "set AWS_PROFILE")
    return hint.replace("--profile", "AWS_PROFILE").replace("--region", "AWS_REGION")


def main() -> int:
    """Print the region, or the problem."""
    try:
        print(check())
    except Problem as problem:
        print(problem, _hint(problem), _EXAMPLE, sep="\n", file=sys.stderr)
        return int(problem.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
