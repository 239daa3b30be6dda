"""Finds a deployed stack by its name, in CloudFormation."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from job_runners.cli.problem import Exit, Problem
from job_runners.cli.stack import Stack

if TYPE_CHECKING:
    from job_runners.cli.where import Where


def find_stack(where: "Where", name: str) -> Stack:
    """Return the stack of this name in the caller's account and region; raises Problem."""
    client: Any = where.session.create_client("cloudformation")
    region = client.meta.region_name
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
        return Stack.from_outputs(name, region, outputs)
    except KeyError as missing:
        raise Problem(
            f"The stack {name} in {region} is {found['StackStatus']} and has no output {missing}.",
            hint="Is it one of Job Runners, deployed to its end, and not of an older version?",
            code=Exit.NO_ACCESS,
        ) from None


def age(where: "Where") -> float:
    """Return how many seconds ago the stack was created."""
    client: Any = where.client("cloudformation")
    (found,) = client.describe_stacks(StackName=where.stack.name)["Stacks"]
    created: datetime = found["CreationTime"]
    return (datetime.now(UTC) - created).total_seconds()


def resources(where: "Where") -> dict[str, tuple[str, str]]:
    """Return what the stack is made of: for each logical id its type and its physical id."""
    pages = where.client("cloudformation").get_paginator("list_stack_resources")
    return {
        each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
        for page in pages.paginate(StackName=where.stack.name)
        for each in page["StackResourceSummaries"]
        if "PhysicalResourceId" in each
    }
