"""The contacts table and SNS, in the simulated AWS of each test."""

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest

from campaign.contacts import dynamodb
from campaign_world import Sns
from job_runners.testing.hostile import Hostile
from job_runners.testing.job_runner import InlineRunner

TABLE = "contacts"


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    return {"APP_SETTING_CONTACTS_TABLE": TABLE}


@pytest.fixture(autouse=True)
def contacts_table(job_runner: InlineRunner) -> Iterator[None]:
    dynamodb.cache_clear()
    keys = {"organization_campaign": "HASH", "cell": "RANGE"}
    dynamodb().create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
    )
    yield
    dynamodb.cache_clear()


@pytest.fixture
def sns(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> Sns:
    """Answer in place of SNS, and record each accepted text as an effect."""
    fake, client = Sns(hostile.effects.record), boto3.client

    def with_fake(service: str, **options: Any) -> Any:
        found = client(service, **options)  # type: ignore[call-overload]
        if service == "sns":
            fake.clients += 1
            found.meta.events.register_first("before-send.sns.Publish", fake)
        return found

    monkeypatch.setattr(boto3, "client", with_fake)
    return fake
