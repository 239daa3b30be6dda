"""job-runners smoke on the local AWS: what it finds, and that it leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from emulated_aws.emulator import Emulator, emulator
from job_runners.building.samconfig import Target
from job_runners.places import CODE
from newcomers import Newcomer
from stack_clients import session

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

NAME = "smoke-test"


@dataclass(frozen=True)
class Account:
    """An account on the local AWS, and a person with a project and credentials for it."""

    running: Emulator
    person: Newcomer

    def client(self, service: str) -> Any:
        aws: Any = session(self.running.credentials)
        return aws.client(service, endpoint_url=self.running.endpoint_url)

    def leftovers(self) -> list[str]:
        """Return all resources, except sam's own."""
        found = [
            *self.client("dynamodb").list_tables()["TableNames"],
            *(each["Name"] for each in self.client("s3").list_buckets()["Buckets"]),
            *(each["FunctionName"] for each in self.client("lambda").list_functions()["Functions"]),
            *self.client("sqs").list_queues().get("QueueUrls", []),
            *(each["StackName"] for each in self.stacks()),
        ]
        return [each for each in found if "aws-sam-cli" not in each]

    def stacks(self) -> list[dict[str, Any]]:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return [each for each in stacks if each["StackStatus"] != "DELETE_COMPLETE"]


@pytest.fixture
def account(newcomer: Newcomer, tmp_path: Path) -> Iterator[Account]:
    newcomer.jobs("init", "acme")
    config = tmp_path / "acme" / "samconfig.toml"
    here = Target.this_machine().parameter_overrides
    text = config.read_text()
    for each in here:
        text = re.sub(rf"{each.partition('=')[0]}=[\w.]+", each, text)
    config.write_text(text)
    home = tmp_path / "aws"
    home.mkdir()
    with emulator(home) as running:
        variables = {
            "AWS_ENDPOINT_URL": running.endpoint_url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            **running.credentials.variables,
        }
        person = replace(newcomer, folder=tmp_path / "acme", variables=variables)
        fix_after_each_deploy(person)
        yield Account(running, person)


def fix_after_each_deploy(person: Newcomer) -> None:
    """Let the person's sam restore the settings that the emulator drops from a template."""
    [programs] = (person.cache / "job-runners").glob("aws-*/bin")
    sams = programs.resolve()
    programs.unlink()
    programs.mkdir()
    for each in sams.iterdir():
        (programs / each.name).symlink_to(each)
    sam = programs / "sam"
    sam.unlink()
    sam.write_text(
        f'#!/bin/sh\n\'{sams}/sam\' "$@" || exit\n[ "$1" = deploy ] || exit 0\n'
        f"PYTHONPATH='{CODE}:{CODE / 'tests' / 'support'}' "
        f"exec '{sys.executable}' -m emulated_aws.emulator_fixes {NAME}\n"
    )
    sam.chmod(0o755)


@pytest.mark.nightly
def test_every_kind_of_work_is_run_and_everything_is_removed(
    account: Account, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    done = account.person.run("smoke", "--name", NAME, "--report", str(file), timeout=900)
    report = {line[9:29].strip(): line[:9].strip() for line in done.stdout.splitlines()}
    kinds = {"task", "job", "delayed job", "retry", "sleep", "unique job", "follow-up"}
    kinds |= {"worker class", "failed task", "failure record", "schedule"}
    assert {each: report.get(each) for each in kinds} == dict.fromkeys(kinds, "ok"), done.stdout
    assert {report[each] for each in ("throttling", "async retries", "alarms")} == {"skipped"}
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(file.read_text())
    assert (written["account"], written["region"]) == ("000000000000", "us-east-1")
    assert re.fullmatch("[0-9a-f]{12}", written["build"])
    assert all(each["seconds_to_start"] is not None for each in written["jobs"])
    assert account.leftovers() == []


def test_an_existing_stack_is_left_alone(account: Account) -> None:
    template = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'
    account.client("cloudformation").create_stack(StackName=NAME, TemplateBody=template)
    refused = account.person.run("smoke", "--name", NAME)
    assert refused.returncode == 1
    assert f"A stack {NAME} exists" in refused.stderr
    refused = account.person.run("smoke", "--remove", NAME)
    assert f"job-runners smoke has created no stack {NAME}" in refused.stderr
    assert [each["StackName"] for each in account.stacks()] == [NAME]


def start(account: Account, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        cwd=account.person.folder,
        env=account.person.environment | variables,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_an_interrupted_run_removes_what_there_is(account: Account) -> None:
    command = str(account.person.python.with_name("job-runners"))
    process = start(account, command, "smoke", "--name", NAME)
    give_up = time.monotonic() + 300
    while not any(each["StackName"] == NAME for each in account.stacks()):
        assert time.monotonic() < give_up
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert f"Removed {NAME}." in said
    assert account.leftovers() == []


def first_hour(account: Account, file: Path, *words: str) -> subprocess.Popen[str]:
    """Start the tool of a checkout with a small size, and with the code of the wheel."""
    tools = account.person.folder.parent / "tools"
    tools.mkdir()
    (tools / "benchmarks").symlink_to(CODE / "benchmarks")
    command = [str(account.person.python), "-m", "benchmarks.first_hour", "--name", NAME]
    command += ["--report", str(file), "--settle", "0", "--cold", "3", *words]
    return start(account, *command, PYTHONPATH=str(tools))


@pytest.mark.nightly
def test_the_first_hour_is_measured_and_everything_is_removed(
    account: Account, tmp_path: Path
) -> None:
    file = tmp_path / "hour.md"
    process = first_hour(account, file, "--warm", "5", "--jobs", "120", "--members", "50")
    _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    page = file.read_text()
    assert page.startswith("# Measured on a local AWS, 20")
    assert re.search(r"build [0-9a-f]{12}, in us-east-1, from 20", page)
    assert "000000000000" not in page  # the page is for the public
    latency = r"p50 \d+ ms, p95 \d+ ms \("
    for row in (
        rf"Dispatch to start, in a new worker \| {latency}[1-3] jobs",
        rf"Dispatch to start, in a worker that has run jobs \| {latency}[1-5] jobs",
        r"120 jobs, accepted \| [\d.]+ s \(\d+ per second",
        r"120 jobs, done \| [\d.]+ s \(\d+ per second",
        rf"120 jobs, each from dispatch to end \| {latency}120 jobs",
        r"A batch of 50 \| [\d.]+ s \(\d+ members per second",
        r"A worker is killed by its timeout of 20 s \| the job failed as Interrupted, [12]\d\.",
        r"killed by memory \| unknown",
        r"smoke: failure record \| ok",
        r"write_unit \| ",
    ):
        assert re.search(rf"^\| {row}", page, re.MULTILINE), (row, page)
    assert "leave out the capacity of the tables' indexes" in page
    assert "include the requests of this command" in page
    assert account.leftovers() == []


@pytest.mark.nightly
def test_an_interrupted_first_hour_reports_what_it_has_measured(
    account: Account, tmp_path: Path
) -> None:
    file = tmp_path / "hour.md"
    said = []
    with first_hour(account, file, "--warm", "1000") as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("Dispatch to start, in a new worker"):
                os.killpg(process.pid, signal.SIGINT)
    assert process.returncode == 130, said
    assert f"Removed {NAME}.\n" in said
    page = file.read_text()
    assert "| Dispatch to start, in a new worker | p50" in page
    assert "| **Stopped** | KeyboardInterrupt |" in page
    assert account.leftovers() == []
