"""The AWS of the unit tests: moto, in this process, with the tables that the template has."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

import settings
from runners import get_job_runner
from runners.registry import registry
from store import aws as clients

pytest_plugins = ["local_stack"]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "JOBS_TABLE_NAME": "jobs",
    "COORDINATION_TABLE_NAME": "coordination",
    "CONTACTS_TABLE_NAME": "contacts",
    "BUCKET_NAME": "bucket",
    "JOB_RUNNER": "legacy",
    "JOBS_SYNC": "true",
    "TASKS_SYNC": "true",
    "POWERTOOLS_SERVICE_NAME": "job-runners",
    "POWERTOOLS_METRICS_NAMESPACE": "JobRunners",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts from the same settings and from clients that nobody has built."""
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    for variable in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_LAMBDA_FUNCTION_NAME"):
        monkeypatch.delenv(variable, raising=False)
    forget()
    yield
    forget()


def forget() -> None:
    """What a new process would not know."""
    settings.forget()
    clients.forget()
    get_job_runner.cache_clear()
    registry.cache_clear()


@pytest.fixture
def aws(environment: None) -> Iterator[None]:
    """Tables and bucket on moto."""
    with mock_aws():
        clients.forget()
        create_tables()
        clients.client("s3").create_bucket(Bucket=ENVIRONMENT["BUCKET_NAME"])
        yield


def create_tables() -> None:
    """The three tables, with the keys that tests/test_template.py holds the template to."""
    create_table(
        ENVIRONMENT["JOBS_TABLE_NAME"],
        {"id": "S"},
        by_organization={"organization_id": "S", "created_key": "S"},
        due={"due_shard": "S", "due_at": "N"},
        failed={"failed_organization": "S", "failed_key": "S"},
    )
    create_table(
        ENVIRONMENT["COORDINATION_TABLE_NAME"],
        {"pk": "S", "sk": "S"},
        due={"due_shard": "S", "due_at": "N"},
    )
    create_table(ENVIRONMENT["CONTACTS_TABLE_NAME"], {"organization_campaign": "S", "cell": "S"})


def create_table(name: str, keys: dict[str, str], **indexes: dict[str, str]) -> None:
    """A table on demand with KEYS_ONLY indexes; keys are name to type, hash key first."""
    types = {
        attribute: kind for each in (keys, *indexes.values()) for attribute, kind in each.items()
    }
    clients.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": kind} for attribute, kind in types.items()
        ],
        KeySchema=key_schema(keys),
        **(
            {
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": index,
                        "KeySchema": key_schema(index_keys),
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                    for index, index_keys in indexes.items()
                ]
            }
            if indexes
            else {}
        ),
    )


def key_schema(keys: dict[str, str]) -> list[dict[str, Any]]:
    """DynamoDB's form of a key: hash first, then range."""
    return [
        {"AttributeName": attribute, "KeyType": kind}
        for attribute, kind in zip(keys, ("HASH", "RANGE"), strict=False)
    ]
