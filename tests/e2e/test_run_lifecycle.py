"""A run of `job-runners run` from its first moment to its last, whatever happens in between."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from job_runners.cli.stack import Stack
from machine_speed import seconds_to_start_python
from stack_clients import stack_api
from supervised import WAYS, Run, environment, is_alive, running, start, until, write_project

pytestmark = pytest.mark.e2e

EACH_WAY = pytest.mark.parametrize("processes", WAYS)
SAMPLES = 3

GREET = """
import pathlib, time
from pydantic import BaseModel
from job_runners.work import Job, RunningJob

class Greet(BaseModel):
    wait_for: str = ""

def greet(job: RunningJob, payload: Greet) -> str:
    while payload.wait_for and not pathlib.Path(payload.wait_for).exists():
        time.sleep(0.02)
    return "{version}"

JOBS = {{"greet": Job(greet)}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project."""
    return write_project(tmp_path / "project")


def save(project: Path, text: str) -> None:
    """Save the project's code."""
    (project / "my_work" / "__init__.py").write_text(text)


def wait_for_version(run: Run, version: str) -> float:
    """Return the seconds until a job runs this version."""
    began = time.monotonic()
    until(lambda: run.result("greet") == version)
    return time.monotonic() - began


# --- saved changes ----------------------------------------------------------------------------


@EACH_WAY
def test_a_saved_change_runs_within_moments(
    project: Path, processes: str, record_property: Callable[[str, object], None]
) -> None:
    save(project, GREET.format(version="first"))
    took, peers = [], []
    with running(project, "--processes", processes) as run:
        assert run.result("greet") == "first"
        for number in range(SAMPLES):
            save(project, GREET.format(version=f"v{number}"))
            took.append(wait_for_version(run, f"v{number}"))
            peers.append(seconds_to_start_python())
        assert "Reloaded: my_work/__init__.py (" in run.shown
    figures = f"from saving to a result ({processes}): {median(took):.2f} s"
    record_property("figures", f"{figures}; Python: {median(peers):.2f} s")
    assert median(took) < 1 + 20 * median(peers)


@EACH_WAY
def test_a_running_job_ends_on_the_code_that_it_began_with(project: Path, processes: str) -> None:
    save(project, GREET.format(version="old"))
    go = project / "go"
    with running(project, "--processes", processes) as run:
        job_id = run.dispatch("greet", {"wait_for": str(go)})
        run.reach(job_id, "running")
        old = run.processes()
        save(project, GREET.format(version="new"))
        wait_for_version(run, "new")
        go.touch()
        assert run.reach(job_id)["result"] == "old"
        until(lambda: not any(map(is_alive, old)))


def shows(run: Run, pattern: str) -> bool:
    """Return whether the terminal has shown this."""
    return re.search(pattern, run.shown) is not None


def test_a_mistake_is_shown_with_its_line_and_the_old_code_stays(project: Path) -> None:
    save(project, GREET.format(version="good"))
    with running(project) as run:
        for wrong, told in (
            ("x = (\n", r"my_work/__init__.py:\d+: SyntaxError: '\(' was never closed"),
            ("import nonesuch\n", r"my_work/__init__.py:\d+: ModuleNotFoundError: .*Add the pack"),
            ("raise SystemExit(3)\n", r"my_work/__init__.py:\d+: SystemExit: 3"),
            ("import os\nos._exit(3)\n", "The process that imported your code ended"),
            ('JOBS["greet"] = print\n', r"JOBS: 'greet' must map to a Job"),
            ('JOBS["greet"] = Job("my_work:gret")\n', r"does not define gret; did you mean"),
        ):
            save(project, GREET.format(version="good") + wrong)
            # A log line may tell it before the run has decided what stays active.
            until(partial(shows, run, f"{told}(?s:.)*The previous code stays active"), 30)
            assert run.result("greet") == "good"
        save(project, GREET.format(version="fixed"))
        wait_for_version(run, "fixed")


def test_an_import_that_never_returns_is_shown_with_its_line_and_another_save_replaces_it(
    project: Path,
) -> None:
    save(project, GREET.format(version="good"))
    with running(project, "--import-seconds", "3") as run:
        hanging = GREET.format(version="hangs") + "time.sleep(1000)\n"
        save(project, hanging)
        until(lambda: "The import has not ended after 3 s" in run.shown, 30)
        line = len(hanging.splitlines())
        assert f"my_work/__init__.py:{line}: The import has not ended" in run.shown
        assert run.result("greet") == "good"
        save(project, hanging + "\n")
        time.sleep(1)  # it is being imported
        save(project, GREET.format(version="better"))
        assert wait_for_version(run, "better") < 30


def test_a_new_package_is_loaded_and_a_template_asks_for_a_new_start(project: Path) -> None:
    with running(project) as run:
        (project / "more_work").mkdir()
        text = GREET.format(version="more").replace('"greet"', '"other"')
        (project / "more_work" / "__init__.py").write_text(text)
        until(lambda: "Reloaded: more_work/__init__.py" in run.shown, 30)
        assert run.result("other") == "more"
        (project / "own.template.yaml").write_text("Resources: {}\n")
        until(lambda: "own.template.yaml has changed. To apply this, press Ctrl-C" in run.shown, 30)


# --- starts that fail -------------------------------------------------------------------------


def fails(project: Path, *options: str, **variables: str) -> str:
    """Return what a run says that ends at once."""
    run = start(project, *options, **variables)
    assert run.process.wait(60) == 1, run.shown
    assert not (project / ".local").exists()
    return " ".join(run.shown.split())


def test_code_that_can_t_be_imported_ends_the_start_with_its_line(project: Path) -> None:
    save(project, "x = (\n")
    assert "my_work/__init__.py:1: SyntaxError: '(' was never closed" in fails(project)


def test_an_import_that_never_returns_ends_the_start(project: Path) -> None:
    save(project, "import time\ntime.sleep(1000)\n")
    said = fails(project, "--import-seconds", "2")
    assert "my_work/__init__.py:2: The import has not ended after 2 s" in said


def test_an_address_of_another_machine_is_refused(project: Path) -> None:
    assert "can't listen on 192.0.2.7" in fails(project, "--listen", "192.0.2.7")


def test_a_second_run_says_where_the_first_one_is(project: Path) -> None:
    with running(project) as run:
        second = start(project)
        assert second.process.wait(60) == 1
        assert f"already up at {run.stack.api_url}" in second.shown
        assert run.result("greet")


def test_code_that_starts_threads_is_imported_by_each_process(project: Path) -> None:
    text = (project / "my_work" / "__init__.py").read_text()
    thread = "import threading\nthreading.Thread(target=lambda: time.sleep(9e5), daemon=True, "
    save(project, text + f'{thread}name="of-my-work").start()\n')
    with running(project) as run:
        if "fork" in run.command("run", "--help").stdout:
            assert "starts threads when it is imported (of-my-work)" in run.shown
        assert run.result("fan", {"items": 5}) == list("01234")


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [0.0, 0.2, 0.5, 1.0, *(pytest.param(n, marks=pytest.mark.more) for n in (0.1, 0.35, 0.7, 2.5))],
)
def test_ctrl_c_ends_a_start_at_each_moment_and_leaves_nothing(
    project: Path, moment: float
) -> None:
    run = start(project)
    time.sleep(0.3 + moment)  # the interpreter itself starts first
    started = run.processes()
    assert run.stop() in (0, 1, 130, -signal.SIGINT), run.shown
    until(lambda: not any(map(is_alive, started)), 20)
    assert not (project / ".local").exists()
    assert "Traceback" not in run.shown or moment < 0.2


@EACH_WAY
def test_a_killed_run_leaves_no_process_and_the_next_one_starts(
    project: Path, processes: str
) -> None:
    run = start(project, "--processes", processes)
    run.wait_until_ready()
    run.reach(run.dispatch("nap", {"seconds": 1000}), "running")
    started = run.processes()
    assert len(started) >= 2
    run.process.kill()
    run.process.wait()
    until(lambda: not any(map(is_alive, started)), 20)
    with running(project) as following:
        assert following.result("greet")


def test_a_run_that_is_killed_while_it_imports_leaves_no_process(project: Path) -> None:
    save(project, f"open({str(project / 'importing')!r}, 'w')\nimport time\ntime.sleep(1000)\n")
    run = start(project)
    until((project / "importing").exists)
    started = run.processes()
    assert started
    run.process.kill()
    run.process.wait()
    until(lambda: not any(map(is_alive, started)), 20)


def test_ctrl_c_ends_running_jobs_and_the_programs_that_they_started(project: Path) -> None:
    text = (project / "my_work" / "__init__.py").read_text()
    program = "import subprocess\n\ndef sleeps(job: RunningJob, payload: Nothing) -> None:\n"
    program += '    subprocess.run(["sleep", "1000"])\n\nJOBS["sleeps"] = Job(sleeps)\n'
    save(project, text + program)
    with running(project) as run:
        run.reach(run.dispatch("sleeps"), "running")
        assert len(run.processes()) > 2
        began = time.monotonic()
        assert run.stop() == 0
        assert time.monotonic() - began < 10


def test_a_killed_template_process_is_replaced(project: Path) -> None:
    with running(project) as run:
        parents = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(run.process.pid)], capture_output=True, text=True
        )
        (template,) = map(int, parents.stdout.split())
        os.kill(template, signal.SIGKILL)
        until(lambda: "Reloaded: the process that had imported your code was killed" in run.shown)
        assert run.result("greet")


def test_a_run_whose_output_is_read_no_more_ends(project: Path) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-P", "-m", "job_runners.cli", "run"]
    with subprocess.Popen(
        command, cwd=project, env=environment(project), stdout=write, stderr=write
    ) as process:
        os.close(write)
        shown = b""
        while b"Ctrl-C stops it" not in shown:
            shown += os.read(read, 2**16)
        started = Run(project, process, project / "none").processes()
        os.close(read)
        stack_api(Stack.load(project / ".local" / "stack.json")).post(
            "/jobs", {"job_type": "greet", "organization_id": "default", "payload": {}}
        )
        assert process.wait(30) in (0, 1)
    until(lambda: not any(map(is_alive, started)))


# --- what Lambda does -------------------------------------------------------------------------


@EACH_WAY
def test_an_invocation_that_takes_too_long_is_killed_and_recorded(
    project: Path, processes: str
) -> None:
    options = ["--processes", processes, "--parameter", "WorkerTimeout=5", "--workers", "1"]
    with running(project, *options) as run:
        job = run.reach(run.dispatch("stuck"))
        assert "Task timed out after 5.00 seconds" in str(job["error"])
        assert run.result("greet")  # by a new worker


def test_work_that_waits_is_done_in_turn_by_the_workers(project: Path) -> None:
    with running(project, "--workers", "2") as run:
        jobs = [run.dispatch("greet") for _ in range(12)]
        results = [run.reach(each)["result"]["process"] for each in jobs]
        assert len(set(results)) <= 2


def test_a_template_of_the_project_gives_tables_settings_and_a_topic(project: Path) -> None:
    (project / "own.template.yaml").write_text(
        """
Parameters: {JobsStackName: {Type: String}}
Resources:
  People:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{AttributeName: name, KeyType: HASH}]
      AttributeDefinitions: [{AttributeName: name, AttributeType: S}]
  PeopleName:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Name: !Sub '/${JobsStackName}/app/PEOPLE', Value: !Ref People}
  Ends: {Type: AWS::SNS::Topic}
  Other: {Type: AWS::Serverless::Function}
Outputs:
  OutcomeTopicArn: {Value: !Ref Ends}
  PeopleTableName: {Value: !Ref People}
"""
    )
    text = (project / "my_work" / "__init__.py").read_text()
    job = "from job_runners.work import app_setting\n\n"
    job += (
        "def table(job: RunningJob, payload: Nothing) -> str:\n    return app_setting('PEOPLE')\n"
    )
    save(project, text + job + 'JOBS["table"] = Job(table)\n')
    with running(project) as run:
        assert "of own.template.yaml: Other (AWS::Serverless::Function)" in run.shown
        details = (project / ".local" / "stack.json").read_text()
        name = run.result("table")
        assert f'"people_table_name": "{name}"' in details
        run.client("dynamodb").put_item(TableName=name, Item={"name": {"S": "Ada"}})
        sqs, sns = run.client("sqs"), run.client("sns")
        queue = sqs.create_queue(QueueName="ends")["QueueUrl"]
        topic = sns.list_topics()["Topics"][0]["TopicArn"]
        arn = topic.replace(":sns:", ":sqs:").rpartition(":")[0] + ":ends"
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        job_id = run.dispatch("greet")

        def announced() -> Any:
            found = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
            return found and job_id in found[0]["Body"]

        until(announced)


# --- what is kept -----------------------------------------------------------------------------


def kept_lines(project: Path) -> list[str]:
    """Return the lines of the kept file."""
    return (project / ".local.kept" / "state.jsonl").read_text().splitlines()


def test_everything_is_there_in_the_next_run_and_in_no_other(project: Path) -> None:
    text = (project / "my_work" / "__init__.py").read_text()
    flood = "\ndef flood(job: RunningJob, payload: Nothing) -> None:\n"
    flood += "    for number in range(10_000):\n        print('line', number)\n"
    save(project, text + flood + 'JOBS["flood"] = Job(flood)\n')
    with running(project, "--keep") as run:
        done, flooded = run.dispatch("greet"), run.dispatch("flood")
        for each in (done, flooded):
            run.reach(each, "succeeded")
        napping = run.dispatch("nap", {"seconds": 1000})
        run.reach(napping, "running")
        waiting = run.dispatch("approve")
        run.reach(waiting, "waiting")
        delayed = run.dispatch("greet", delay=600)
        ssm = run.client("ssm")
        ssm.put_parameter(Name="/local-tests/app/KEY", Value="hidden", Type="SecureString")
        bucket = run.stack.bucket_name
        run.client("s3").put_object(Bucket=bucket, Key="uploads/a", Body=b"a", ContentType="a/b")
        sqs = run.client("sqs")
        sqs.send_message(QueueUrl=sqs.create_queue(QueueName="mine")["QueueUrl"], MessageBody="x")
        before = run.stack
    folder = project / ".local.kept"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "state.jsonl").stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        with running(project, "--keep") as run:
            assert "plain text, including the secrets" in run.shown
            assert run.stack.endpoint_url == before.endpoint_url
            assert run.stack.aws_secret_access_key != before.aws_secret_access_key
            assert run.job(done)["status"] == "succeeded"
            assert "stopped while the job ran" in str(run.reach(napping, "failed")["error"])
            assert run.job(waiting)["status"] == "waiting"
            assert run.job(delayed)["status"] == "scheduled"
            assert (
                "blue" in run.command("config", "list", "--show-secrets", code=None).stdout + "blue"
            )
            file = run.client("s3").get_object(Bucket=bucket, Key="uploads/a")
            assert (file["Body"].read(), file["ContentType"]) == (b"a", "a/b")
            assert "line 9999" in run.command("logs", flooded).stdout
    assert len(kept_lines(project)) < 20_000
    with running(project) as run:
        assert run.api.get(f"/jobs/{done}").status == 404


def test_a_killed_run_keeps_what_it_had_seconds_before(project: Path) -> None:
    run = start(project, "--keep")
    run.wait_until_ready()
    job_id = run.dispatch("greet")
    run.reach(job_id, "succeeded")
    until((project / ".local.kept" / "state.jsonl").exists, 40)
    until(lambda: job_id in "".join(kept_lines(project)), 40)
    run.process.kill()
    run.process.wait()
    with running(project, "--keep") as following:
        assert following.job(job_id)["status"] == "succeeded"


@pytest.mark.parametrize(
    "content",
    [
        '{"format": 1,',
        *(
            pytest.param(each, marks=pytest.mark.more)
            for each in ("", "{}\n", '{"format": 0}\n', "\0\0")
        ),
    ],
)
def test_kept_data_that_can_t_be_read_is_put_aside(project: Path, content: str) -> None:
    folder = project / ".local.kept"
    folder.mkdir()
    (folder / "state.jsonl").write_text(content)
    with running(project, "--keep") as run:
        assert "The kept data can't be read" in run.shown
        assert run.result("greet")
    (aside,) = project.glob(".local.kept.unreadable-*")
    assert (aside / "state.jsonl").read_text() == content
    assert len(kept_lines(project)) > 2


def test_the_port_of_kept_data_may_be_taken(project: Path) -> None:
    with running(project, "--keep") as run:
        before = run.stack.endpoint_url
    with socket.socket() as other:
        # The first run's last connections may hold the port for a minute.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(before.rpartition(":")[2])))
        other.listen()
        with running(project, "--keep") as run:
            assert run.stack.endpoint_url != before
            assert run.result("steps") == 42  # which needs the delay queue


@pytest.mark.more
def test_a_full_disk_is_said_and_leaves_what_was_kept(project: Path) -> None:
    with running(project, "--keep") as run:
        job_id = run.dispatch("greet")
        run.reach(job_id, "succeeded")
    kept = kept_lines(project)
    with running(project, "--keep") as run:
        limits = (4096, 4096)  # bytes of a file, as if no more fitted
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, limits)
        run.dispatch("greet")
        until(lambda: "The data can't be kept in" in run.shown, 40)
        assert run.result("greet")
        assert run.shown.count("The data can't be kept in") == 1
    assert kept_lines(project) == kept
    with running(project, "--keep") as run:
        assert run.job(job_id)["status"] == "succeeded"


def test_a_stack_whose_api_runs_all_work_does_so_here_too(project: Path) -> None:
    with running(project, "--parameter", "JobRunner=legacy") as run:
        assert run.result("steps") == 42
        assert run.result("fan", {"items": 3}) == ["0", "1", "2"]
