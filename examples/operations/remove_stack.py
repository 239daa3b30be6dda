"""Remove a stack with all of its data: tables, files, settings and secrets. This can't be undone.

python remove_stack.py STACK

It asks nothing. It also removes the stack STACK-app of own.template.yaml.
"""

import os
import sys

import boto3

STACK = sys.argv[1]
# boto3 itself doesn't read AWS_REGION.
session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
account = session.client("sts").get_caller_identity()["Account"]
print("Removing from account", account, "in", session.region_name)
cloudformation, dynamodb = session.client("cloudformation"), session.client("dynamodb")
pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
resources = [each for page in pages for each in page["StackResourceSummaries"]]


def names(kind: str) -> list[str]:
    """Return the names of the stack's resources of a type."""
    return [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == kind]


tables, buckets = names("AWS::DynamoDB::Table"), names("AWS::S3::Bucket")
print("Removing", STACK, *tables, *buckets)  # if the script is interrupted, you need these names
for stack in (STACK, f"{STACK}-app"):  # the second one may not exist
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack)
for table in tables:
    if dynamodb.describe_table(TableName=table)["Table"].get("DeletionProtectionEnabled"):
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        dynamodb.get_waiter("table_exists").wait(TableName=table)
    dynamodb.delete_table(TableName=table)
for name in buckets:
    bucket = session.resource("s3").Bucket(name)
    bucket.object_versions.delete()
    bucket.delete()
ssm = session.client("ssm")
found = ssm.get_paginator("get_parameters_by_path").paginate(Path=f"/{STACK}", Recursive=True)
for each in [each["Name"] for page in found for each in page["Parameters"]]:
    ssm.delete_parameter(Name=each)
