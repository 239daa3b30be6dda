"""What goes wrong on the way to a stack and its API, and what `jobs` says about it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fake_account import Account
from fake_stack import OUTPUTS
from job_runners.cli import local_aws
from job_runners.cli.stack import Stack, write_private
from job_runners.local.run_folder import exclusive_folder
from job_runners.places import ROOT
from jobs_command import ID, FakeApi, RawText, job, jobs, problem

LIST = "/jobs?organization_id=default&limit=100"
EMPTY: dict[str, Any] = {"jobs": [], "cursor": None}


# --- the API --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (422, problem(422, "No job is named x. Did you mean y?"), 1, "No job is named x."),
        (404, problem(404, "No job has the id z."), 1, "No job has the id z."),
        (403, problem(403, "You may only read."), 5, "You may only read."),
        (403, {"message": "Forbidden"}, 5, "execute-api:Invoke"),
        (
            403,
            {"message": "Keys: .local/env.sh."},
            5,
            "Keys: .local/env.sh.\nThe AWS credentials need",
        ),
        (403, {"message": "Signature expired: 1 < 2"}, 5, "Signature expired: 1 < 2."),
        (401, {"message": "Unauthorized"}, 5, "JOBS_TOKEN"),
        (413, {"message": "Request Too Long"}, 1, "answered 413: Request Too Long"),
        (503, problem(503, "it did not leave"), 6, "answered 503: it did not leave"),
        (500, None, 6, "it gave no reason"),
    ],
)
def test_every_refusal_has_words_and_an_exit_code(
    api: FakeApi, status: int, body: Any, code: int, said: str
) -> None:
    api.on("POST", "/jobs", status, body)
    done = jobs("dispatch", "x")
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    passing = status >= 500
    assert len(api.calls) == (3 if passing else 1)
    [key] = {each.headers["Idempotency-Key"] for each in api.calls}  # so it is one job at most
    assert (f"job-runners show --idempotency-key {key}" in done.stderr) is passing


def test_a_job_that_has_the_place_of_a_unique_one_can_be_followed(api: FakeApi) -> None:
    refused = problem(409, f"'x' is unique, and job {ID} has its place") | {
        "type": "urn:job-runners:unique-conflict",
        "job_id": ID,
    }
    api.on("POST", "/jobs", 409, refused)
    done = jobs("dispatch", "x")
    assert done.exit_code == 1
    assert f"job-runners watch {ID}" in done.stderr
    assert json.loads(jobs("dispatch", "x", "--json").stderr)["answer"]["job_id"] == ID


@pytest.mark.parametrize(
    ("path", "words", "hint"),
    [
        ("/jobs", ("dispatch", "x", "key=a"), "To see the fields: bin/job-runners types x\n"),
        ("/tasks", ("task", "y"), "To see the fields: bin/job-runners types y\n"),
    ],
)
def test_every_field_that_does_not_fit_is_named(
    api: FakeApi, path: str, words: tuple[str, ...], hint: str
) -> None:
    errors = [{"field": "payload.key", "why": "required"}, {"field": "delay", "why": "too long"}]
    refused = problem(422, "2 fields are wrong", *errors)
    api.on("POST", path, 422, refused | {"type": "urn:job-runners:invalid-payload"})
    said = jobs(*words).stderr
    assert hint in said
    assert "payload.key: required" in said
    assert "delay: too long" in said


def test_with_json_a_refusal_is_json_too(api: FakeApi) -> None:
    body = problem(409, "It has ended.")
    api.on("POST", "/jobs", 409, body)
    said = json.loads(jobs("dispatch", "x", "--json").stderr)
    assert said == {"error": "It has ended.", "hint": None, "exit_code": 1, "answer": body}


def test_reading_is_tried_again_while_the_api_is_busy(api: FakeApi) -> None:
    api.on("GET", LIST, 503, problem(503, "busy"), Retry_After="0")
    api.on("GET", LIST, 200, EMPTY)
    assert jobs("list").exit_code == 0
    assert len(api.calls) == 2


def test_an_api_that_can_not_be_reached_is_named(api: FakeApi) -> None:
    done = jobs("list", "--api-url", "http://127.0.0.1:9")
    assert done.exit_code == 6
    assert "Can't reach the API at http://127.0.0.1:9" in done.stderr


def test_a_page_that_stands_in_for_the_api_is_not_taken_for_it(api: FakeApi) -> None:
    """As a network does that wants to be logged in to first."""
    api.on("GET", LIST, 200, RawText("<h1>Welcome to our wifi</h1>"))
    done = jobs("list")
    assert done.exit_code == 1
    assert "Check that this is the API of a Job Runners stack" in done.stderr


def test_an_address_that_is_none_is_refused(api: FakeApi) -> None:
    done = jobs("list", "--api-url", "file:///etc/passwd")
    assert done.exit_code == 2
    assert "starts with https://" in done.stderr


def test_an_unknown_command_or_option_is_a_wrong_command_line() -> None:
    unknown = jobs("lst")
    assert unknown.exit_code == 2
    assert "Did you mean list?" in unknown.stderr
    assert jobs("list", "--nope").exit_code == 2


# --- who calls ------------------------------------------------------------------------------------


def test_calls_are_signed_with_the_callers_credentials(api: FakeApi) -> None:
    api.on("GET", LIST, 200, EMPTY)
    jobs("list", "--region", "eu-west-1")
    signed = api.calls[0].headers["Authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert "/eu-west-1/execute-api/" in signed


def test_a_token_takes_the_place_of_credentials(api: FakeApi) -> None:
    api.on("GET", "/jobs?limit=100", 200, EMPTY)  # of the organisation that the token names
    done = jobs("list", JOBS_TOKEN="abc", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert done.exit_code == 0, done.output
    assert api.calls[0].headers["Authorization"] == "Bearer abc"


def test_a_token_is_read_from_a_file(api: FakeApi, tmp_path: Path) -> None:
    api.on("GET", "/jobs?limit=100", 200, EMPTY)
    file = tmp_path / "token"
    file.write_text("abc\n")
    assert jobs("list", "--token", f"@{file}").exit_code == 0
    assert api.calls[0].headers["Authorization"] == "Bearer abc"
    for wrong in (tmp_path, tmp_path / "none"):
        done = jobs("list", "--token", f"@{wrong}")
        assert (done.exit_code, len(api.calls)) == (2, 1)
        assert f"no token can be read from {wrong}" in done.stderr


def test_a_token_that_is_not_accepted_is_said_to_be_that(api: FakeApi) -> None:
    api.on("GET", "/jobs?limit=100", 401, {"message": "Unauthorized"})
    done = jobs("list", "--token", "abc")
    assert done.exit_code == 5
    assert "The API refused this token" in done.stderr


def test_shared_options_stand_before_or_after_the_command_and_win_over_the_environment(
    api: FakeApi,
) -> None:
    for path in ("a", "b", "c"):
        api.on("GET", f"/jobs?organization_id={path}&limit=100", 200, EMPTY)
    jobs("--organization", "a", "list", JOBS_ORGANIZATION="x")
    jobs("list", "--organization", "b", JOBS_ORGANIZATION="x")
    jobs("list", JOBS_ORGANIZATION="c")
    assert [call.path.split("=")[1].split("&")[0] for call in api.calls] == ["a", "b", "c"]


def test_a_stack_that_the_command_line_names_counts_for_more_than_an_address_around_it(
    api: FakeApi, account: Account
) -> None:
    done = jobs("list", "--stack", "nope")
    assert done.exit_code == 5
    assert "Stack nope doesn't exist" in done.stderr
    assert api.calls == []


def run(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return the command in a process whose AWS settings are those of an empty machine."""
    kept = {each: os.environ[each] for each in ("PATH",)}
    nothing = {
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "job_runners.cli", *words],
        env=kept | nothing | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--region", "eu-west-1"], "No AWS credentials found."),
        ([], "No AWS region is set."),
        (["--profile", "nope"], "aws configure list-profiles"),
    ],
)
def test_an_empty_machine_is_told_what_it_lacks(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = run(tmp_path, "list", "--stack", "x", *words)
    assert done.returncode == 5
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_aws_that_can_not_be_reached_is_no_answer(tmp_path: Path) -> None:
    unreachable = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "x"}
    done = run(tmp_path, "list", "--stack", "x", **unreachable, **credentials)
    assert done.returncode == 6
    assert "Can't reach AWS" in done.stderr
    assert "AWS_ENDPOINT_URL sends every call to http://127.0.0.1:9. If that was" in done.stderr


# --- the stack ------------------------------------------------------------------------------------


def test_without_a_name_it_is_the_stack_that_samconfig_names(account: Account) -> None:
    assert json.loads(jobs("doctor", "--json").stdout)["stack"] == "job-runners"


def test_a_stack_that_is_not_there_is_said_with_where_it_was_looked_for(account: Account) -> None:
    done = jobs("list", "--stack", "nope")
    assert done.exit_code == 5
    assert "Stack nope doesn't exist in us-east-1" in done.stderr


def test_another_kind_of_stack_is_not_taken_for_one_of_ours(account: Account) -> None:
    account.outputs = {"Url": "x"}
    done = jobs("list", JOB_RUNNERS_STACK="job-runners")
    assert done.exit_code == 5
    assert "no output 'ApiUrl'" in done.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "have expired"),
        ("InvalidClientTokenId", "doesn't accept your credentials"),
        ("AccessDenied", "have no permission for DescribeStacks"),
    ],
)
def test_what_aws_says_about_credentials_is_said_in_our_words(
    account: Account, code: str, said: str
) -> None:
    account.refusals["DescribeStacks"] = (code, "words of AWS")
    done = jobs("list")
    assert done.exit_code == 5
    assert said in done.stderr


def local_stack(tmp_path: Path, api_url: str) -> None:
    """As if job-runners run were up."""
    home = tmp_path / ".local"
    home.mkdir()
    stack = Stack.from_outputs("job-runners", "us-east-1", OUTPUTS, "http://127.0.0.1:9")
    described = json.loads(json.dumps(stack.__dict__)) | {"api_url": api_url}
    write_private(home / "stack.json", json.dumps(described))


def test_the_local_aws_comes_first_while_it_is_up_unless_a_stack_is_named(
    api: FakeApi, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBS_API_URL")
    monkeypatch.setattr(local_aws, "HOME", tmp_path / ".local")
    local_stack(tmp_path, api.url)
    api.on("POST", "/jobs", 202, job("queued"))
    done = jobs("dispatch", "x")
    assert (done.stdout, done.exit_code) == (f"{ID}\n", 0)
    assert "on the local AWS" in done.stderr
    assert jobs("list", "--stack", "nope").exit_code == 5
    assert jobs("dispatch", "x", "--local", JOB_RUNNERS_STACK="nope").exit_code == 0
    # Named where .local/env.sh was done, it is the same one, with all that is known of it.
    del account.outputs["ApiUrl"]
    assert jobs("list", "--stack", "job-runners").exit_code == 5
    named = jobs("dispatch", "x", "--stack", "job-runners", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert named.exit_code == 0


def test_a_stack_file_that_others_may_have_written_leads_nowhere(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_aws, "HOME", tmp_path / ".local")
    local_stack(tmp_path, "http://127.0.0.1:9")
    (tmp_path / ".local" / "stack.json").chmod(0o644)
    assert "No local AWS is running" in jobs("list", "--local").stderr


def test_while_the_local_aws_starts_no_other_stack_is_taken_for_it(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ".local"
    monkeypatch.setattr(local_aws, "HOME", home)
    with exclusive_folder(home):
        for words in (["list"], ["dispatch", "x", "--local"]):
            done = jobs(*words)
            assert (done.exit_code, done.stdout) == (6, "")
            assert "The local AWS is starting, or stopping." in done.stderr
        assert "Stack nope doesn't exist" in jobs("list", "--stack", "nope").stderr
    home.mkdir()  # as a run leaves it that was killed while it started
    assert "No local AWS is running" in jobs("list", "--local").stderr


def test_a_stack_on_the_local_aws_of_this_terminal_is_found_by_its_name(
    api: FakeApi, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBS_API_URL")
    api.on("POST", "/_aws/execute-api/abc/$default/jobs", 202, job("queued"))
    there = {"JOB_RUNNERS_STACK": "job-runners", "AWS_ENDPOINT_URL": api.url}
    assert jobs("dispatch", "x", **there).exit_code == 0
    assert "Credential=test/" in api.calls[0].headers["Authorization"]  # of this terminal
    # There the functions have an AWS_ENDPOINT_URL: that is no mistake.
    for function in account.functions.values():
        function["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = api.url
    del account.event_configs["timer"]  # and settings that it ignores are no mistake either
    done = jobs("doctor", **there)
    assert done.exit_code == 0, done.output
    assert "No problems found with the local AWS" in done.stdout


def test_aws_keys_are_not_sent_to_another_machine_in_plain_text(account: Account) -> None:
    done = jobs("list", "--stack", "job-runners", AWS_ENDPOINT_URL="http://192.0.2.1:80")
    assert done.exit_code == 5
    assert "Credentials are not sent to http://192.0.2.1:80" in done.stderr


def test_a_local_aws_that_was_killed_is_said_to_be_gone(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_aws, "HOME", tmp_path / ".local")
    assert "job-runners run" in jobs("list", "--local").stderr
    local_stack(tmp_path, "http://127.0.0.1:9")
    for words in (["list"], ["watch", ID]):  # of which the second would wait for another API
        done = jobs(*words)
        assert (done.exit_code, done.stdout) == (5, "")
        assert "The local AWS at http://127.0.0.1:9 has stopped." in done.stderr
        assert "Start it again with bin/job-runners run." in done.stderr
