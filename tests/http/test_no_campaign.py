"""The API of a stack without the texting campaign: what ships is webhooks, and no more shows."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from api_events import call
from job_runners.testing.aws import create_bucket, create_tables, forget
from job_runners.testing.shipped_operations import full_client

CAMPAIGN_TYPES = (
    *("import_contacts", "assign_texters", "send_first_messages", "export_contacts"),
    *("import_contacts_part", "send_first_messages_turn"),
    *("send_message", "send_first_message"),
)


@pytest.fixture(autouse=True)
def no_campaign(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set what the template sets then, on an AWS without a contacts table."""
    monkeypatch.setenv("TEXTING_CAMPAIGN", "false")
    with mock_aws():
        forget()
        create_tables()
        create_bucket()
        full_client("dynamodb").delete_table(TableName="contacts")
        monkeypatch.setenv("CONTACTS_TABLE_NAME", "")
        forget()
        yield


def test_webhooks_can_be_dispatched_and_nothing_of_the_campaign() -> None:
    types = call("GET", "/job-types").json
    for kind in ("jobs", "tasks"):
        names = {each["name"] for each in types[kind]}
        assert "post_webhook" in names
        assert names & set(CAMPAIGN_TYPES) == set()


@pytest.mark.parametrize("job_type", CAMPAIGN_TYPES[:6])
def test_a_job_of_the_campaign_is_an_unknown_one(job_type: str) -> None:
    body = {"job_type": job_type, "organization_id": "acme", "campaign_id": "spring", "payload": {}}
    answer = call("POST", "/jobs", body=body)
    assert answer.status == 422
    assert answer.json["type"].endswith("unknown-job-type")


@pytest.mark.parametrize("task", CAMPAIGN_TYPES[6:])
def test_a_task_of_the_campaign_is_an_unknown_one(task: str) -> None:
    answer = call("POST", "/tasks", body={"task_name": task, "payload": {}})
    assert answer.status == 422
    assert answer.json["type"].endswith("unknown-task")


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/job-types"])
def test_what_describes_the_api_names_nothing_of_it(path: str) -> None:
    answer = call("GET", path)
    assert answer.status == 200
    assert "post_webhook" in answer.text
    assert [each for each in CAMPAIGN_TYPES if each in answer.text] == []


@pytest.mark.parametrize("path", ["/", "/health", "/jobs?organization_id=acme", "/paused"])
def test_the_rest_answers_as_ever(path: str) -> None:
    where, _, query = path.partition("?")
    assert call("GET", where, query=query).status == 200
