"""Find a deployed stack by its name in CloudFormation."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from job_runners.cli.problem import Exit, Problem
from job_runners.cli.stack import Stack
from job_runners.client.addresses import endpoint
from job_runners.client.errors import InsecureAddress

if TYPE_CHECKING:
    from botocore.session import Session


def find_stack(session: "Session", name: str) -> Stack:
    """Return the stack with this name in the session's account and region. Raises Problem.

    If AWS_ENDPOINT_URL names a local AWS, the stack is there.
    """
    client: Any = session.create_client("cloudformation")
    region = client.meta.region_name
    try:
        url, is_local = endpoint("cloudformation", region)
    except InsecureAddress as error:
        raise Problem(error.problem, hint=error.hint, code=Exit.NO_ACCESS) from None
    try:
        description = describe(client, name)
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise Problem(
            f"Stack {name} doesn't exist in {region} in your account.",
            hint="Pass another name with --stack, or change --region or --profile.",
            code=Exit.NO_ACCESS,
        ) from None
    try:
        return Stack.from_outputs(name, region, outputs(description), url if is_local else "")
    except KeyError as missing:
        raise Problem(
            f"Stack {name} in {region} has the status {description['StackStatus']} and no output "
            f"{missing}.",
            hint="Check that it is a Job Runners stack, that its deploy completed, and that its "
            "version isn't older than this command's.",
            code=Exit.NO_ACCESS,
        ) from None


def describe(client: Any, name: str) -> dict[str, Any]:
    """Return CloudFormation's description of a stack. Raises ClientError if it doesn't exist."""
    (description,) = client.describe_stacks(StackName=name)["Stacks"]
    return dict(description)


def outputs(description: dict[str, Any]) -> dict[str, str]:
    """Return the outputs in a description of a stack."""
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def resources(client: Any, name: str) -> dict[str, tuple[str, str]]:
    """Return the type and physical id of each resource of the stack, by logical id."""
    pages = client.get_paginator("list_stack_resources")
    return {
        resource["LogicalResourceId"]: (resource["ResourceType"], resource["PhysicalResourceId"])
        for page in pages.paginate(StackName=name)
        for resource in page["StackResourceSummaries"]
        if "PhysicalResourceId" in resource
    }
