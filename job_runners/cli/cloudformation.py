"""Finds a deployed stack by its name, in CloudFormation."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from job_runners.addresses import endpoint
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.stack import Stack
from job_runners.errors import InsecureAddress

if TYPE_CHECKING:
    from botocore.session import Session


def find_stack(session: "Session", name: str) -> Stack:
    """Return the stack of this name in the caller's account and region, or on the local AWS that
    AWS_ENDPOINT_URL names; raises Problem."""
    client: Any = session.create_client("cloudformation")
    region = client.meta.region_name
    try:
        url, is_local = endpoint("cloudformation", region)
    except InsecureAddress as error:
        raise Problem(error.problem, hint=error.hint, code=Exit.NO_ACCESS) from None
    try:
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise Problem(
            f"There is no stack {name} in {region}, in the account of your credentials.",
            hint="Another name: --stack. Another region or account: --region, --profile.",
            code=Exit.NO_ACCESS,
        ) from None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    try:
        return Stack.from_outputs(name, region, outputs, url if is_local else "")
    except KeyError as missing:
        raise Problem(
            f"The stack {name} in {region} is {found['StackStatus']} and has no output {missing}.",
            hint="Is it one of Job Runners, deployed to its end, and not of an older version?",
            code=Exit.NO_ACCESS,
        ) from None


def age(client: Any, name: str) -> float:
    """Return how many seconds ago the stack was created."""
    (found,) = client.describe_stacks(StackName=name)["Stacks"]
    created: datetime = found["CreationTime"]
    return (datetime.now(UTC) - created).total_seconds()


def resources(client: Any, name: str) -> dict[str, tuple[str, str]]:
    """Return what the stack is made of: for each logical id its type and its physical id."""
    pages = client.get_paginator("list_stack_resources")
    return {
        each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
        for page in pages.paginate(StackName=name)
        for each in page["StackResourceSummaries"]
        if "PhysicalResourceId" in each
    }
