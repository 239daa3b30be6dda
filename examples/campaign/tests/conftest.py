"""The contacts table, in the simulated AWS of each test."""

from collections.abc import Iterator, Mapping

import boto3
import pytest

from campaign.contacts import dynamodb
from job_runners.testing.job_runner import InlineRunner

TABLE = "contacts"


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    return {"APP_SETTING_CONTACTS_TABLE": TABLE}


@pytest.fixture(autouse=True)
def contacts_table(job_runner: InlineRunner) -> Iterator[None]:
    dynamodb.cache_clear()
    boto3.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "organization_campaign", "KeyType": "HASH"},
            {"AttributeName": "cell", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "organization_campaign", "AttributeType": "S"},
            {"AttributeName": "cell", "AttributeType": "S"},
        ],
    )
    yield
    dynamodb.cache_clear()
