"""Remove a throwaway stack, including what CloudFormation would keep: tables, buckets, uploads."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from job_runners.cli.cloudformation import describe, outputs, resources
from job_runners.cli.problem import Problem

TAG = "job-runners-smoke"  # building/smoke_project.py tags the stack with it
_SAM_STACK = "aws-sam-cli-managed-default"  # the stack with the bucket that sam uploads code to
# AWS's error codes for a resource that doesn't exist.
_MISSING_CODES = frozenset(
    {"NoSuchBucket", "ResourceNotFoundException", "NoSuchEntity", "404", "ValidationError"}
)

GetClient = Callable[[str], Any]  # returns the client of an AWS service


def exists(get_client: GetClient, stack: str) -> bool:
    """Return whether a stack exists, in any state."""
    return _describe(get_client, stack) is not None


def is_throwaway(get_client: GetClient, stack: str) -> bool:
    """Return whether a stack was created by `job-runners smoke`."""
    tags = (_describe(get_client, stack) or {}).get("Tags", [])
    return any(tag["Key"] == TAG for tag in tags)


def remove(get_client: GetClient, stack: str) -> None:
    """Remove a stack, its tables and bucket, and its uploaded code. Raises Problem.

    If this fails, another call removes the rest.
    """
    cloudformation = get_client("cloudformation")
    tables, buckets = [], []  # the stack's resources that CloudFormation keeps
    if exists(get_client, stack):
        stack_resources = resources(cloudformation, stack)
        tables = _of_type(stack_resources, "AWS::DynamoDB::Table")
        buckets = _of_type(stack_resources, "AWS::S3::Bucket")
        for table in tables:
            _ignore_missing(_unprotect, get_client, table)
        for bucket in buckets:
            _ignore_missing(_empty, get_client, bucket)
        _delete_stack(cloudformation, stack)
    try:
        for table in tables:
            _ignore_missing(get_client("dynamodb").delete_table, TableName=table)
        for bucket in buckets:
            _ignore_missing(get_client("s3").delete_bucket, Bucket=bucket)
    except ClientError as error:
        names = ", ".join((*tables, *buckets))
        raise Problem(f"The stack is removed, but of {names}, some are left: {error}") from error
    _remove_uploads(get_client, stack)


def _describe(get_client: GetClient, stack: str) -> dict[str, Any] | None:
    try:
        description = describe(get_client("cloudformation"), stack)
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if description["StackStatus"] == "DELETE_COMPLETE" else description


def _of_type(stack_resources: dict[str, tuple[str, str]], resource_type: str) -> list[str]:
    return [name for kind, name in stack_resources.values() if kind == resource_type]


def _ignore_missing(call: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Make a call, and ignore its error if the resource doesn't exist."""
    try:
        call(*args, **kwargs)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MISSING_CODES:
            raise


def _unprotect(get_client: GetClient, table: str) -> None:
    description = get_client("dynamodb").describe_table(TableName=table)["Table"]
    if description.get("DeletionProtectionEnabled"):
        get_client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
        get_client("dynamodb").get_waiter("table_exists").wait(TableName=table)


def _empty(get_client: GetClient, bucket: str, prefix: str = "") -> None:
    s3 = get_client("s3")
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def _delete_stack(cloudformation: Any, stack: str) -> None:
    cloudformation.delete_stack(StackName=stack)
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=stack, WaiterConfig={"Delay": 5, "MaxAttempts": 240}
        )
    except WaiterError as error:
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        reasons = [event.get("ResourceStatusReason") for event in events]
        reason = next(filter(None, reasons), str(error))  # the newest
        raise Problem(f"CloudFormation could not delete stack {stack}: {reason}") from error


def _remove_uploads(get_client: GetClient, stack: str) -> None:
    """Remove the code that sam has uploaded for this stack, but keep sam's bucket."""
    try:
        sam_stack = describe(get_client("cloudformation"), _SAM_STACK)
    except ClientError:
        return
    bucket = outputs(sam_stack).get("SourceBucket")
    if bucket:
        _ignore_missing(_empty, get_client, bucket, f"{stack}/")
