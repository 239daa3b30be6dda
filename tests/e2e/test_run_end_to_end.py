"""`job-runners run` with a project: everything that its jobs and tasks can do, on the local AWS.

Every test runs with processes of functions that are forked, and with `MORE=1` also with
others that import the code themselves.
"""

import json
import time
import urllib.request
from typing import Any

import pytest

from supervised import Run, until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("supervised")]


def test_the_first_screen_says_where_to_look_and_what_to_do_next(supervised: Run) -> None:
    assert "Dashboard    http://127.0.0.1:" in supervised.shown
    assert "jobs greet, nap, steps, approve, fan and 7 more; tasks ping, fails" in supervised.shown
    assert "job-runners types greet    shows its fields" in supervised.shown
    assert "IAM and the template: `job-runners build` checks the template" in supervised.shown


def test_a_job_runs_and_its_output_is_shown_as_it_happens(supervised: Run) -> None:
    job_id = supervised.dispatch("greet", {"text": "world"})
    assert supervised.reach(job_id)["result"]["text"] == "world"
    until(lambda: f"greet {job_id[:4]}  started" in supervised.shown)
    until(lambda: "| hello world" in supervised.shown)
    lines = supervised.api.get(f"/jobs/{job_id}/logs?organization_id=default").json["lines"]
    assert "hello world" in [each["message"] for each in lines]


def test_the_command_dispatches_watches_and_shows_logs(supervised: Run) -> None:
    done = supervised.command("dispatch", "greet", "text=there", "--watch")
    assert json.loads(done.stdout.splitlines()[-1])["text"] == "there"
    (listed, *_) = supervised.command("list").stdout.splitlines()
    job_id = listed.split()[0]
    assert "hello there" in supervised.command("logs", job_id).stdout
    assert "hello there" in supervised.command("logs", job_id, "--follow").stdout


def test_a_job_takes_steps_and_sleeps_in_between(supervised: Run) -> None:
    assert supervised.result("steps") == 42


def test_a_signal_wakes_a_job(supervised: Run) -> None:
    job_id = supervised.dispatch("approve")
    supervised.reach(job_id, "waiting")
    answer = supervised.api.put(f"/jobs/{job_id}/signals/approved", {"value": {"ok": 1}})
    assert answer.status < 300, answer.text
    assert supervised.reach(job_id)["result"] == {"ok": 1}


def test_a_group_is_gathered(supervised: Run) -> None:
    assert supervised.result("fan", {"items": 12}) == [str(number) for number in range(12)]


def test_another_job_follows(supervised: Run) -> None:
    job_id = supervised.dispatch("followed")
    supervised.reach(job_id, "succeeded")

    def follower() -> Any:
        found = supervised.api.get("/jobs?organization_id=default&job_type=told").json["jobs"]
        return [each for each in found if each["follow_up_of"] == job_id]

    (found,) = until(follower)
    assert supervised.reach(found["id"])["result"] == "succeeded"


def test_a_delayed_job_starts_when_it_is_due(supervised: Run) -> None:
    began = time.time()
    started = supervised.result("greet", delay=2)["started"]
    assert 1.9 < started - began < 20


def test_a_task_runs_and_a_failed_one_is_recorded_and_sent_again(supervised: Run) -> None:
    assert supervised.command("task", "ping", "text=pong").returncode == 0
    until(lambda: "| ping pong" in supervised.shown)
    supervised.command("task", "fails")

    def failed() -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = supervised.api.get("/tasks/failed").json["tasks"]
        return answer

    (found,) = until(failed)
    assert "the task is wrong" in found["error"]["message"]


def test_the_death_of_a_worker_is_noticed_at_once_and_said(supervised: Run) -> None:
    job_id = supervised.dispatch("killed")
    began = time.monotonic()
    error = supervised.reach(job_id, "failed")["error"]
    assert time.monotonic() - began < 5  # instead of 960 s, the job's lease
    assert "signal: SIGKILL" in str(error)
    assert f"killed {job_id[:4]} lost its process" in supervised.shown
    assert "Its last line: before the end" in supervised.shown
    assert supervised.result("greet")


def test_a_job_that_fails_shows_its_line(supervised: Run) -> None:
    job_id = supervised.dispatch("wrong")
    assert "no such number" in str(supervised.reach(job_id)["error"])
    until(lambda: "ValueError: no such number" in supervised.shown)
    assert '|   File "my_work/__init__.py", line ' in supervised.shown


def test_files_are_uploaded_read_written_and_downloaded(supervised: Run, tmp_path: Any) -> None:
    (tmp_path / "words.txt").write_text("some words")
    supervised.command("upload", str(tmp_path / "words.txt"), "--name", "words.txt")
    key = "uploads/default/words.txt"
    listed = supervised.client("s3").list_objects_v2(Bucket=supervised.stack.bucket_name)
    (key,) = [e["Key"] for e in listed["Contents"] if e["Key"].endswith("words.txt")]
    result = supervised.result("capitals", {"key": key})
    shown = json.dumps(result)
    url = next(part for part in shown.split('"') if part.startswith("http://127.0.0.1"))
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"SOME WORDS"


def test_a_large_file_is_uploaded_in_parts(supervised: Run, tmp_path: Any) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20_000_000)
    s3, bucket = supervised.client("s3"), supervised.stack.bucket_name
    s3.upload_file(str(path), bucket, "uploads/large")
    found = s3.head_object(Bucket=bucket, Key="uploads/large")
    assert found["ContentLength"] == 20_000_000
    assert "-" in found["ETag"]  # in parts


def test_settings_reach_the_jobs(supervised: Run) -> None:
    supervised.command("config", "set", "COLOR", "blue")
    assert "COLOR" in supervised.command("config", "list").stdout


def test_a_poll_that_waits_for_messages_delays_nobody(supervised: Run) -> None:
    sqs = supervised.client("sqs")
    url = sqs.create_queue(QueueName="own")["QueueUrl"]
    began = time.monotonic()
    answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert "Messages" not in answer
    assert time.monotonic() - began > 0.9


def test_a_schedule_that_the_code_declares_starts_jobs(supervised: Run) -> None:
    """The last test here, because the schedule is due a minute after the start."""
    path = "/schedules?organization_id=default"
    (found,) = until(lambda: supervised.api.get(path).json["schedules"], 30)
    assert found["name"] == "minutely"
    until(lambda: "| hello from a schedule" in supervised.shown, 90)
