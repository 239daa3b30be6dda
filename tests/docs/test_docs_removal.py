"""A script of examples/operations deletes a stack with its data. Another one restores files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import boto3
import pytest
from moto import mock_aws

from operator_files import run_script

TABLES = ("JOBS_TABLE", "COORDINATION_TABLE")
BUCKET = "removed-bucket"
REGION: Final = "eu-west-1"
WHERE = f"Removing from account 123456789012 in {REGION}"


@pytest.fixture(autouse=True)
def _profile_of_another_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Name the region in AWS_REGION, which boto3 doesn't read."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    (tmp_path / "config").write_text("[profile name]\nregion = us-west-2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "name")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)


def create() -> tuple[Any, Any]:
    """Create the tables and the bucket of a stack, and return the clients of their services."""
    session = boto3.Session(region_name=REGION)
    dynamodb, s3 = session.client("dynamodb"), session.client("s3")
    for name in TABLES:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
        )
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        s3.put_object(Bucket=BUCKET, Key="results/acme/1", Body=body)
    s3.delete_object(Bucket=BUCKET, Key="results/acme/1")
    return dynamodb, s3


@mock_aws
def test_the_deleted_files_of_an_organization_come_back() -> None:
    _, s3 = create()
    s3.put_object(Bucket=BUCKET, Key="results/globex/1", Body=b"other")
    s3.delete_object(Bucket=BUCKET, Key="results/globex/1")
    run_script("restore_files.py", BUCKET, "results/acme/")
    (found,) = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert found["Key"] == "results/acme/1"
    assert s3.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read() == b"new"


@mock_aws
def test_a_stack_is_removed_with_its_data_and_nothing_of_another_stack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamodb, s3 = create()
    ssm = boto3.Session(region_name=REGION).client("ssm")
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
    client: Any = boto3.Session.client

    def client_of(session: boto3.Session, name: str, **options: Any) -> Any:
        return cloudformation if name == "cloudformation" else client(session, name, **options)

    monkeypatch.setattr(boto3.Session, "client", client_of)
    run_script("remove_stack.py", "acme-pr-1")
    assert capsys.readouterr().out.startswith(WHERE)

    stacks = ("acme-pr-1", "acme-pr-1-app")  # the second one's policy is attached to the first one
    assert steps == [
        f"{do} {each}" for each in stacks for do in ("delete", "stack_delete_complete")
    ]
    assert dynamodb.list_tables()["TableNames"] == []
    assert s3.list_buckets()["Buckets"] == []
    left = {each["Name"] for each in ssm.describe_parameters()["Parameters"]}
    assert left == {"/acme-pr-17/app/KEY", "/acme-pr-17/webhook-secrets/acme/main"}
