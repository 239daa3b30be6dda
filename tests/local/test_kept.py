"""What job-runners run --keep keeps: the data of a run, for the next one."""

import os
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import job_rows
import job_runners.handlers.failures
from api_worker import create_delay_queue, send_to_lambda
from fake_lambda import FakeLambda
from fake_stack import OUTPUTS
from job_runners.cli.stack import Stack
from job_runners.local import screen
from job_runners.local.credentials import session
from job_runners.local.emulator import Emulator, emulator
from job_runners.local.kept import Kept, report_interrupted
from job_runners.local.problem import LocalProblem
from job_runners.store.job_request import Status
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import full_client


def client(running: Emulator, service: str) -> Any:
    """Return a client of the emulator."""
    aws: Any = session(running.credentials)
    return aws.client(service, endpoint_url=running.endpoint_url)


@pytest.mark.e2e
def test_tables_files_and_queues_are_there_in_the_next_run_and_in_no_other(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    with emulator(tmp_path / "first", kept=kept) as running:
        client(running, "dynamodb").create_table(
            TableName="table",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client(running, "dynamodb").put_item(TableName="table", Item={"id": {"S": "kept"}})
        client(running, "s3").create_bucket(Bucket="bucket")
        client(running, "s3").put_object(Bucket="bucket", Key="file", Body=b"kept")
        url = client(running, "sqs").create_queue(QueueName="queue")["QueueUrl"]
        client(running, "sqs").send_message(QueueUrl=url, MessageBody="kept")
        before = running
    assert not kept.is_empty
    with emulator(tmp_path / "next", kept=kept) as running:
        assert running.endpoint_url == before.endpoint_url
        assert running.credentials != before.credentials
        found = client(running, "dynamodb").get_item(TableName="table", Key={"id": {"S": "kept"}})
        assert found["Item"] == {"id": {"S": "kept"}}
        file = client(running, "s3").get_object(Bucket="bucket", Key="file")
        assert file["Body"].read() == b"kept"
        (message,) = client(running, "sqs").receive_message(QueueUrl=url)["Messages"]
        assert message["Body"] == "kept"
    with emulator(tmp_path / "other") as running:
        assert client(running, "dynamodb").list_tables()["TableNames"] == []
        assert client(running, "s3").list_buckets()["Buckets"] == []


def test_a_port_that_another_program_has_is_said_with_what_to_do(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(LocalProblem, match=rf"port {taken}, .* start without --keep"):
            kept.port(lambda: taken)


def test_a_run_that_was_killed_is_told_of_and_one_that_ended_is_not(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.begin()
    assert kept.lost_since is not None
    since = kept.lost_since
    kept.begin()
    assert kept.lost_since == since  # of the first that was not saved
    kept.end()
    assert kept.lost_since is None


@pytest.mark.usefixtures("aws")
def test_a_job_that_ran_when_the_run_was_stopped_is_treated_as_one_whose_worker_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send_to_lambda(monkeypatch, create_delay_queue())
    FakeLambda()
    tagged, untagged = job_rows.claimed(), job_rows.claimed(job_rows.saved(max_attempts=1))
    waiting = job_rows.saved()
    sqs = full_client("sqs")
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    stack = Stack.from_outputs("job-runners", "us-east-1", OUTPUTS)
    report_interrupted(
        replace(
            stack,
            table_name=os.environ["JOBS_TABLE_NAME"],
            failures_queue_url=url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
    )
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert len(messages) == 2
    records = [{"messageId": each["MessageId"], "body": each["Body"]} for each in messages]
    job_runners.handlers.failures.handler({"Records": records}, Context())  # type: ignore[arg-type]
    assert job_rows.stored(tagged).status is Status.RETRYABLE
    failed = job_rows.stored(untagged)
    assert failed.status is Status.FAILED
    assert "The local AWS was stopped while the job ran" in str(failed.error)
    assert job_rows.stored(waiting).status is Status.QUEUED


def test_that_secrets_are_kept_in_plain_text_is_said_and_nobody_else_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(tmp_path / "kept")
    kept.port(lambda: 1024)
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    screen.show_kept(kept)
    said = " ".join(capsys.readouterr().out.split())
    assert "plain text, including the secrets of `bin/job-runners config set`" in said
