"""The script of docs/guides/remove_the_stack.md deletes tables, and a bucket with old versions."""

import re

import boto3
import pytest
from moto import mock_aws

from job_runners.places import ROOT

(SCRIPT,) = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/guides/remove_the_stack.md").read_text(), re.DOTALL
)
TABLES = ("JOBS_TABLE", "COORDINATION_TABLE")


@mock_aws
def test_the_script_deletes_protected_tables_and_every_version_of_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
    for name in TABLES:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
        )
    bucket = "removed-bucket"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        s3.put_object(Bucket=bucket, Key="results/acme/1", Body=body)
    s3.delete_object(Bucket=bucket, Key="results/acme/1")
    exec(compile(SCRIPT.replace('"BUCKET"', f'"{bucket}"'), "remove_the_stack.md", "exec"), {})
    assert dynamodb.list_tables()["TableNames"] == []
    assert s3.list_buckets()["Buckets"] == []
