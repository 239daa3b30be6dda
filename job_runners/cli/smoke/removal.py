"""Remove a throwaway stack, with everything that CloudFormation would keep."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from job_runners.cli.cloudformation import describe, resources
from job_runners.cli.problem import Problem

TAG = "job-runners-smoke"  # building/smoke_project.py gives it to the stack
_SAM_STACK = "aws-sam-cli-managed-default"  # sam's stack with the bucket of uploaded code
_MISSING = frozenset(
    {"NoSuchBucket", "ResourceNotFoundException", "NoSuchEntity", "404", "ValidationError"}
)

Client = Callable[[str], Any]  # returns a client of an AWS service


def exists(client: Client, stack: str) -> bool:
    """Return whether a stack exists, in any state."""
    return _describe(client, stack) is not None


def is_throwaway(client: Client, stack: str) -> bool:
    """Return whether `job-runners smoke` has created a stack."""
    tags = (_describe(client, stack) or {}).get("Tags", [])
    return any(each["Key"] == TAG for each in tags)


def remove(client: Client, stack: str) -> None:
    """Remove a stack, its tables and bucket, and its uploaded code. Raises Problem.

    A second call removes what a first one could not.
    """
    cloudformation = client("cloudformation")
    is_there = exists(client, stack)  # an interrupted deploy leaves a stack without resources
    found = resources(cloudformation, stack) if is_there else {}
    tables = _of_type(found, "AWS::DynamoDB::Table")
    buckets = _of_type(found, "AWS::S3::Bucket")
    for table in tables:
        _unless_missing(_unprotect, client, table)
    for bucket in buckets:
        _unless_missing(_empty, client, bucket)
    if is_there:
        _delete_stack(cloudformation, stack)
    try:
        for table in tables:
            _unless_missing(client("dynamodb").delete_table, TableName=table)
        for bucket in buckets:
            _unless_missing(client("s3").delete_bucket, Bucket=bucket)
    except ClientError as error:
        left = ", ".join((*tables, *buckets))
        raise Problem(f"The stack is removed, but of {left}, some are left: {error}") from error
    _remove_uploads(client, stack)


def _describe(client: Client, stack: str) -> dict[str, Any] | None:
    try:
        found = describe(client("cloudformation"), stack)
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def _of_type(found: dict[str, tuple[str, str]], kind: str) -> list[str]:
    return [name for its_kind, name in found.values() if its_kind == kind]


def _unless_missing(call: Callable[..., object], *arguments: object, **named: object) -> None:
    """Make a call, unless what it is about is gone."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MISSING:
            raise


def _unprotect(client: Client, table: str) -> None:
    described = client("dynamodb").describe_table(TableName=table)["Table"]
    if described.get("DeletionProtectionEnabled"):
        client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
        client("dynamodb").get_waiter("table_exists").wait(TableName=table)


def _empty(client: Client, bucket: str, prefix: str = "") -> None:
    s3 = client("s3")
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        listed = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]
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
        reasons = [each.get("ResourceStatusReason") for each in events]
        why = next((each for each in reasons if each), str(error))
        raise Problem(f"CloudFormation could not delete stack {stack}: {why}") from error


def _remove_uploads(client: Client, stack: str) -> None:
    """Remove the code that sam has uploaded for this stack. sam's bucket stays."""
    try:
        sam = describe(client("cloudformation"), _SAM_STACK)
    except ClientError:
        return
    outputs = {each["OutputKey"]: each["OutputValue"] for each in sam.get("Outputs", [])}
    if bucket := outputs.get("SourceBucket"):
        _unless_missing(_empty, client, bucket, f"{stack}/")
