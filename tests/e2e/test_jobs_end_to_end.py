"""The `jobs` command against the local AWS: the real API and logs."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from following import ORGANIZATION
from job_runners.cli import local_aws
from jobs_command import jobs
from local_stack import Local
from supervised import until

# In `job-runners run`. This gives up what doctor finds in a deployed stack, which
# test_deploy_end_to_end.py has, and the stack's outputs of CloudFormation.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local run")]

KEY = f"uploads/{ORGANIZATION}/command.csv"


@pytest.fixture(autouse=True)
def make_run_is_up(local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command find the stack as it finds that of make run."""
    local.stack.save(tmp_path / local_aws.STACK_FILE)
    monkeypatch.setattr(local_aws, "HOME", tmp_path)


@pytest.fixture
def upload(local: Local) -> None:
    """Upload a file of one row."""
    local.upload("command.csv", b"first_name,last_name,cell\nAda,Lovelace,(212) 555-0123\n")


def printed(*words: str) -> Any:
    """Return the JSON that a command prints."""
    done = jobs(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_job_is_dispatched_watched_shown_and_looked_up_in_the_logs(upload: None) -> None:
    campaign = f"campaign-{uuid.uuid4()}"
    done = jobs("dispatch", "import_contacts", f"key={KEY}", f"campaign={campaign}", "--watch")
    assert done.exit_code == 0, done.output
    job_id = done.stdout.split()[1]
    assert printed("show", job_id[:12])["result"]["imported"] == 1
    assert job_id in [each["id"] for each in printed("list")["jobs"]]
    until(lambda: "succeeded" in jobs("logs", job_id).stdout)
    logged = jobs("logs", job_id).stdout
    assert logged.index("accepted") < logged.index("claimed") < logged.index("succeeded")
    assert jobs("retry", job_id).exit_code == 1  # it has succeeded
    assert jobs("delete", job_id, "--yes").exit_code == 0
    assert jobs("show", job_id).exit_code == 1


def test_a_schedule_is_put_shown_run_paused_and_deleted() -> None:
    times = ("--cron", "0 2 * * MON#1", "--timezone", "America/Chicago")
    put = printed("schedules", "put", "monthly", "export_contacts", *times, "campaign=none")
    assert put["words"] == "at 02:00 on the first Monday of the month, America/Chicago"
    assert "monthly" in jobs("schedules").stdout
    assert "next " in jobs("schedules", "show", "monthly").stdout
    job_id = jobs("schedules", "run", "monthly").stdout.strip()
    assert jobs("watch", job_id).exit_code == 0
    assert printed("schedules", "pause", "monthly")["next"] == []
    assert printed("schedules", "resume", "monthly")["next"] == put["next"]
    assert jobs("schedules", "delete", "monthly", "--yes").exit_code == 0
    assert jobs("schedules", "show", "monthly").exit_code == 1


def test_a_queue_that_there_is_not_is_refused() -> None:
    done = jobs("queues", "show", "exporst")
    assert done.exit_code == 1
    assert "This stack has no queue exporst" in done.stderr
    assert jobs("queues", "show", "default").exit_code == 0


def test_a_failed_job_is_told_by_the_exit_code_and_can_be_retried(upload: None) -> None:
    words = ("import_contacts", "campaign=x", f"key=uploads/{ORGANIZATION}/none.csv")
    assert jobs("dispatch", *words, "--watch").exit_code == 3
    job_id = printed("list", "--status", "failed", "--limit", "1")["jobs"][0]["id"]
    assert (
        printed("retry", job_id, "--payload", json.dumps({"campaign": "x", "key": KEY}))["status"]
        == "queued"
    )
    assert jobs("watch", job_id).exit_code == 0


def test_a_scheduled_job_of_a_paused_type_is_canceled() -> None:
    assert printed("pause", "export_contacts")["name"] == "export_contacts"
    assert "export_contacts" in jobs("pause").stdout
    assert jobs("resume", "export_contacts").exit_code == 0
    job_id = jobs("dispatch", "export_contacts", "campaign=x", "--delay", "1h").stdout.strip()
    assert jobs("cancel", job_id).stdout == f"{job_id}  canceled\n"
    assert jobs("watch", job_id).exit_code == 4


def test_a_task_that_failed_for_good_is_listed(local: Local) -> None:
    satellite = {"cell": "+881612345678", "text": "Polls close at 8."}  # is never texted
    task_id = printed("task", "send_message", "--payload", json.dumps(satellite))["id"]
    until(lambda: task_id in {each["id"] for each in printed("failures", "tasks")["tasks"]})
    (line,) = [each for each in jobs("failures", "tasks").stdout.splitlines() if task_id in each]
    assert line.split("\t")[1] == "send_message"
    assert "TextRefused: the message was not sent: the number belongs to no country" in line
    refused = jobs("failures", "redrive", task_id)
    assert refused.exit_code == 1
    assert "KeepTaskPayloads=true" in refused.stdout


def test_doctor_finds_dead_letters_and_redrive_sends_them_again(local: Local) -> None:
    local.tick()
    report = printed("doctor")
    verdicts = {each["check"]: each["verdict"] for each in report["findings"]}
    seen = {check for check, verdict in verdicts.items() if verdict == "ok"}
    assert seen == {"timer", "starts", "schedules", "pauses", "dead letters"}
    assert set(verdicts.values()) == {"ok", "skipped"}  # what the local AWS can't show
    sqs = local.client("sqs")
    policy = sqs.get_queue_attributes(
        QueueUrl=local.stack.failures_queue_url, AttributeNames=["RedrivePolicy"]
    )["Attributes"]["RedrivePolicy"]
    dead = sqs.get_queue_url(QueueName=json.loads(policy)["deadLetterTargetArn"].split(":")[-1])
    event = {"v": 1, "kind": "job", "id": "0" * 32, "job_type": "x", "send_id": "s"}
    event["queue_name"] = "default"
    body = json.dumps({"requestPayload": event})  # of a job that is gone: settled by ignoring it
    sqs.send_message(QueueUrl=dead["QueueUrl"], MessageBody=body)
    found = jobs("doctor")
    assert found.exit_code == 1
    assert "The failures queue has 1 dead letter." in found.stdout
    assert printed("failures", "redrive", "--dead-letters") == {"failures": 1, "delayed": 0}
    assert jobs("doctor").exit_code == 0
