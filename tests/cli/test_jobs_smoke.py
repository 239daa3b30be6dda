"""What `job-runners smoke` removes, and what it says of work that doesn't end as it should."""

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

import in_project
from fake_stack import OUTPUTS
from job_runners.building import smoke_project
from job_runners.cli.doctor.check import Finding, Verdict
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.log_lines import Line, Logs
from job_runners.cli.problem import Problem
from job_runners.cli.smoke import kinds, removal, report
from job_runners.cli.stack import Stack
from job_runners.cli.target import Target
from job_runners.client.models import Job

TABLE = {"ResourceType": "AWS::DynamoDB::Table", "PhysicalResourceId": "jobs-table"}
BUCKET = {"ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": "the-bucket"}


class Service:
    """Records the calls to a service. Answers are set by the name of the operation."""

    def __init__(self, calls: list[tuple[str, Any]], answers: dict[str, Any]) -> None:
        self._calls = calls
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self._calls.append((name, arguments))
            answer = self._answers.get(name, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda **given: iter([getattr(self, name)(**given)]))

    def get_waiter(self, _name: str) -> Any:
        return SimpleNamespace(wait=lambda **_: None)


def error(code: str, text: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "Call")


@pytest.fixture
def calls() -> list[tuple[str, Any]]:
    return []


ANSWERS = {
    "describe_stacks": {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Tags": []}]},
    "list_stack_resources": {
        "StackResourceSummaries": [
            {"LogicalResourceId": "JobsTable", **TABLE},
            {"LogicalResourceId": "Bucket", **BUCKET},
        ]
    },
    "describe_table": {"Table": {"DeletionProtectionEnabled": True}},
    "list_object_versions": {
        "Versions": [{"Key": "a", "VersionId": "1"}],
        "DeleteMarkers": [{"Key": "b", "VersionId": "2"}],
    },
}


TARGET = '"Architecture=arm64", "PythonRuntime=python3.13"'


@pytest.mark.parametrize(
    ("parameters", "deploy", "has", "has_not"),
    [
        (f"[{TARGET}]", "resolve_s3 = true", ["resolve_s3"], ["s3_bucket", "PermissionsBoundary"]),
        (
            f'[{TARGET}, "PermissionsBoundary=arn:aws:iam::1:policy/b", "JobRunner=legacy"]',
            's3_bucket = "acme-artifacts"',
            ['"PermissionsBoundary=arn:aws:iam::1:policy/b"', 's3_bucket = "acme-artifacts"'],
            ["resolve_s3", "JobRunner"],
        ),
    ],
)
def test_the_throwaway_stack_has_the_projects_boundary_and_bucket(
    tmp_path: Path, parameters: str, deploy: str, has: list[str], has_not: list[str]
) -> None:
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text(
        f"[default.global.parameters]\nparameter_overrides = {parameters}\n"
        f"[default.deploy.parameters]\n{deploy}\n"
    )
    (tmp_path / "smoke").mkdir()
    smoke_project.write(tmp_path / "smoke", "smoke", samconfig)
    written = (tmp_path / "smoke" / "samconfig.toml").read_text()
    assert tomllib.loads(written)["default"]["global"]["parameters"]["stack_name"] == "smoke"
    assert [each for each in has if each not in written] == []
    assert [each for each in has_not if each in written] == []


def test_what_cloudformation_keeps_is_removed_too(calls: list[tuple[str, Any]]) -> None:
    service = Service(calls, ANSWERS)
    removal.remove(lambda _: service, "smoke")
    names = [name for name, _ in calls]
    made = dict(calls)
    assert made["update_table"] == {"TableName": "jobs-table", "DeletionProtectionEnabled": False}
    keys = [{"Key": "a", "VersionId": "1"}, {"Key": "b", "VersionId": "2"}]
    assert made["delete_objects"]["Delete"]["Objects"] == keys
    assert made["delete_table"] == {"TableName": "jobs-table"}
    assert made["delete_bucket"] == {"Bucket": "the-bucket"}
    assert names.index("update_table") < names.index("delete_stack") < names.index("delete_table")


def test_what_is_gone_already_is_no_problem(calls: list[tuple[str, Any]]) -> None:
    gone = {
        "describe_table": error("ResourceNotFoundException"),
        "delete_table": error("ResourceNotFoundException"),
        "list_object_versions": error("NoSuchBucket"),
        "delete_bucket": error("NoSuchBucket"),
    }
    removal.remove(lambda _: Service(calls, ANSWERS | gone), "smoke")
    missing = {"describe_stacks": error("ValidationError", "Stack smoke does not exist")}
    removal.remove(lambda _: Service(calls, missing), "smoke")
    denied = ANSWERS | {"delete_table": error("AccessDenied")}
    with pytest.raises(Problem, match=r"of jobs-table, the-bucket, some are left: .*AccessDenied"):
        removal.remove(lambda _: Service(calls, denied), "smoke")


def test_a_stack_whose_deploy_was_interrupted_is_removed(calls: list[tuple[str, Any]]) -> None:
    empty = ANSWERS | {"list_stack_resources": {"StackResourceSummaries": []}}
    removal.remove(lambda _: Service(calls, empty), "smoke")
    assert ("delete_stack", {"StackName": "smoke"}) in calls


def test_only_its_own_stacks_count_as_throwaway(calls: list[tuple[str, Any]]) -> None:
    assert not removal.is_throwaway(lambda _: Service(calls, ANSWERS), "jobs")
    tags = [{"Key": removal.TAG, "Value": "true"}]
    own = {"describe_stacks": {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Tags": tags}]}}
    assert removal.is_throwaway(lambda _: Service(calls, own), "smoke")


class FakeApi:
    """An API on which every job has the same state."""

    def __init__(self, **job: Any) -> None:
        self._job = {
            "id": "a" * 32,
            "job_type": "smoke_job",
            "status": "succeeded",
            "attempt": 1,
            "invocations": 1,
        } | job

    def dispatch(self, _job_type: str, **_given: Any) -> Job:
        return Job.of(self._job)

    def dispatch_task(self, _name: str) -> None: ...

    def get(self, _id: str) -> Job:
        return Job.of(self._job)

    def list(self, **_filters: Any) -> Iterator[Job]:
        raise Problem("The API says no.", hint="Do something.")

    def failed_tasks(self) -> Iterator[dict[str, Any]]:
        return iter([])


def test_each_kind_of_work_that_ends_otherwise_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kinds, "_POLL_SECONDS", 0.0)
    no_lines = SimpleNamespace(lines_naming=lambda _: [])
    monkeypatch.setattr(Logs, "between", lambda *_: no_lines)
    target = Target()
    times = {"created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:02Z"}
    target.__dict__["api"] = FakeApi(**times)
    work = kinds.Work(target, max_wait=0.0)
    kinds.dispatch_all(work)
    found = {each.check: each for each in kinds.check_all(work)}
    problems = {name: each.what for name, each in found.items() if each.verdict == "wrong"}
    assert problems == {
        "task": "no log line says that it is done after 0 s",
        "delayed job": "started 2 s after dispatch",
        "retry": "succeeded in attempt 1, not 2",
        "sleep": "did not continue in another invocation",
        "unique job": "a second job for the same work was accepted",
        "follow-up": "the end of the job dispatched no other job",
        "worker class": "ran in None, not in the function of its class",
        "failed task": "no failed task is listed after 0 s",
        "failure record": "succeeded in attempt 1: None",
        "schedule": "The API says no.",
    }
    assert found["schedule"].fix == "Do something."
    assert found["job"].verdict == "ok"


def test_a_report_has_the_account_the_latencies_and_what_aws_counted(
    monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, Any]]
) -> None:
    lambda_report = {"metrics": {"billedDurationMs": 120}}
    line = Line(0, "Worker", {"type": "platform.report", "record": lambda_report})
    monkeypatch.setattr(Logs, "around", lambda *_: SimpleNamespace(about=lambda _: [line]))
    answers = {
        "get_caller_identity": {"Account": "123456789012"},
        "get_metric_statistics": {"Datapoints": [{"Sum": 6.0}, {"Sum": 4.0}]},
        "get_function_configuration": {"Architectures": ["arm64"], "MemorySize": 512},
    }
    target = Target()
    monkeypatch.setattr(Target, "client", lambda *_: Service(calls, answers))
    monkeypatch.setattr(Deployed, "physical_ids", lambda *_: {"One": "the-one"})
    times = {"created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:02Z"}
    target.__dict__["api"] = FakeApi(**times)
    target.__dict__["stack"] = Stack.from_outputs("smoke", "eu-west-1", OUTPUTS)
    work = kinds.Work(target, ids={"job": "a" * 32, "task": "b" * 32, "unique job": ""})
    finding = Finding("job", Verdict.OK, "succeeded")
    found = report.report(work, [finding], datetime.now(UTC), "abc123")
    assert (found["account"], found["region"]) == ("123456789012", "eu-west-1")
    assert found["build"] == "abc123"
    assert found["findings"] == [finding.as_json()]
    (job,) = found["jobs"]
    assert (job["check"], job["seconds_to_start"], job["billed_ms"]) == ("job", 2.0, 120)
    counted = ("api_request", "lambda_request", "write_unit", "read_unit")
    gb_seconds = 10 / 1000 * 512 / 1024  # AWS counts a duration in milliseconds
    assert found["counted"] == dict.fromkeys(counted, 10) | {"lambda_gb_second_arm64": gb_seconds}
    dollars = 10 * (1e-6 + 0.2e-6 + 0.625e-6 + 0.125e-6) + gb_seconds * 0.0000133334
    assert found["dollars"] == pytest.approx(dollars)


def test_a_report_of_an_earlier_run_stays_until_the_new_one_is_written(tmp_path: Path) -> None:
    project = tmp_path / "acme-lists"
    assert in_project.jobs(tmp_path, "init", "acme-lists").returncode == 0
    file = tmp_path / "report.json"
    file.write_text("earlier")
    done = in_project.jobs(project, "smoke", "--report", str(file), project=project)
    assert done.returncode != 0  # there are no credentials
    assert file.read_text() == "earlier"
    missing = str(tmp_path / "missing" / "report.json")
    done = in_project.jobs(project, "smoke", "--report", missing, project=project)
    assert done.returncode == 2
    assert f"the folder of {missing} doesn't exist" in done.stderr
