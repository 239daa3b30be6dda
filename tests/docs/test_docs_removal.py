"""The guides' scripts delete tables, a bucket with old versions, and a stack with its data."""

import re
import sys
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from job_runners.places import ROOT

(SCRIPT,) = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/guides/remove_the_stack.md").read_text(), re.DOTALL
)
(PREVIEW,) = re.findall(
    r"```python\n(# remove_preview.py\n.*?)```",
    (ROOT / "docs/guides/environments.md").read_text(),
    re.DOTALL,
)
TABLES = ("JOBS_TABLE", "COORDINATION_TABLE")
BUCKET = "removed-bucket"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def create() -> tuple[Any, Any]:
    """Create the tables and the bucket of a stack, and return the clients of their services."""
    dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
    for name in TABLES:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
        )
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        s3.put_object(Bucket=BUCKET, Key="results/acme/1", Body=body)
    s3.delete_object(Bucket=BUCKET, Key="results/acme/1")
    return dynamodb, s3


@mock_aws
def test_the_script_deletes_protected_tables_and_every_version_of_a_file() -> None:
    dynamodb, s3 = create()
    exec(compile(SCRIPT.replace('"BUCKET"', f'"{BUCKET}"'), "remove_the_stack.md", "exec"), {})
    assert dynamodb.list_tables()["TableNames"] == []
    assert s3.list_buckets()["Buckets"] == []


@mock_aws
def test_a_preview_is_removed_with_its_data_and_nothing_of_another_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dynamodb, s3 = create()
    ssm = boto3.client("ssm")
    for stack in ("acme-pr-1", "acme-pr-17"):
        for name in ("app/KEY", "webhook-secrets/acme/main"):
            ssm.put_parameter(Name=f"/{stack}/{name}", Value="x", Type="SecureString")
    steps: list[str] = []
    has = {"AWS::S3::Bucket": (BUCKET,), "AWS::SQS::Queue": ("q",), "AWS::DynamoDB::Table": TABLES}
    pages = [
        {"StackResourceSummaries": [{"ResourceType": kind, "PhysicalResourceId": name}]}
        for kind, names in has.items()
        for name in names
    ]
    cloudformation = SimpleNamespace(
        get_paginator=lambda _name: SimpleNamespace(paginate=lambda StackName: pages),  # noqa: N803
        delete_stack=lambda StackName: steps.append(f"delete {StackName}"),  # noqa: N803
        get_waiter=lambda name: SimpleNamespace(
            wait=lambda StackName: steps.append(f"{name} {StackName}")  # noqa: N803
        ),
    )
    client: Any = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda name: cloudformation if name == "cloudformation" else client(name)
    )
    monkeypatch.setattr(sys, "argv", ["remove_preview.py", "acme-pr-1"])
    exec(compile(PREVIEW, "environments.md", "exec"), {})

    stacks = ("acme-pr-1", "acme-pr-1-app")  # the second one's policy is attached to the first one
    assert steps == [
        f"{do} {each}" for each in stacks for do in ("delete", "stack_delete_complete")
    ]
    assert dynamodb.list_tables()["TableNames"] == []
    assert s3.list_buckets()["Buckets"] == []
    left = {each["Name"] for each in ssm.describe_parameters()["Parameters"]}
    assert left == {"/acme-pr-17/app/KEY", "/acme-pr-17/webhook-secrets/acme/main"}
