"""job-runners config: settings and secrets are set, listed and deleted, and no secret is shown."""

import json

import pytest

from fake_account import Account
from job_runners.cli import app_config
from job_runners.cli.commands import config
from job_runners.cli.problem import Exit
from job_runners.work import app_settings
from jobs_command import jobs

SECRET = "s3cret-of-4cme"
PATH = "/job-runners/app"


def test_what_is_set_is_where_the_stacks_work_reads_it(account: Account) -> None:
    assert jobs("config", "set", "GREETING", "Hello").exit_code == 0
    done = jobs("config", "set", "API_KEY", "--secret", stdin=f"{SECRET}\n")
    assert done.exit_code == 0
    assert "Set the secret API_KEY for stack job-runners." in done.stderr
    assert SECRET not in done.output
    assert account.parameters == {
        f"{PATH}/GREETING": ("String", "Hello"),
        f"{PATH}/API_KEY": ("SecureString", SECRET),
    }


def test_a_webhooks_secret_is_where_the_worker_reads_it(account: Account) -> None:
    name = "webhook-secrets/acme/main"
    path = f"/job-runners/{name}"
    refused = jobs("config", "set", name, "x")
    assert refused.exit_code == Exit.USAGE
    assert "Add --secret" in refused.stderr
    assert jobs("config", "set", name, "--secret", stdin=f"whsec_{SECRET}\n").exit_code == 0
    assert account.parameters == {path: ("SecureString", f"whsec_{SECRET}")}
    account.parameters[f"{PATH}/GREETING"] = ("String", "Hello")
    done = jobs("config", "list", "--json")
    found = [(each["name"], each["type"]) for each in json.loads(done.stdout)["settings"]]
    assert found == [("GREETING", "setting"), (name, "secret")]
    assert jobs("config", "delete", name).exit_code == 0
    assert list(account.parameters) == [f"{PATH}/GREETING"]


def test_it_is_said_whose_settings_they_are_whatever_api_is_named(account: Account) -> None:
    done = jobs("config", "set", "GREETING", "Hello", JOBS_API_URL="https://other.example")
    assert done.exit_code == 0
    assert "for stack job-runners." in done.stderr
    done = jobs("config", "delete", "GREETING", JOBS_API_URL="https://other.example")
    assert "Deleted GREETING for stack job-runners." in done.stderr


def test_of_a_value_only_the_end_of_its_last_line_is_left_out(account: Account) -> None:
    key = "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"
    assert jobs("config", "set", "PRIVATE_KEY", "--secret", stdin=key + "\n").exit_code == 0
    assert account.parameters[f"{PATH}/PRIVATE_KEY"] == ("SecureString", key)
    assert jobs("config", "set", "PLAIN", stdin=" spaces \r\n").exit_code == 0
    assert account.parameters[f"{PATH}/PLAIN"] == ("String", " spaces ")


def test_a_list_has_names_types_and_times_and_no_secret(account: Account) -> None:
    account.parameters = {
        f"{PATH}/API_KEY": ("SecureString", SECRET),
        f"{PATH}/GREETING": ("String", "Hello"),
        "/other-stack/app/API_KEY": ("String", "theirs"),
    }
    lines = jobs("config", "list").stdout.splitlines()
    assert [line.split("\t") for line in lines] == [
        ["API_KEY", "secret", "2026-11-24T12:00:00+00:00", ""],
        ["GREETING", "setting", "2026-11-24T12:00:00+00:00", "Hello"],
    ]
    found = json.loads(jobs("config", "list", "--json").stdout)["settings"]
    assert [each["name"] for each in found] == ["API_KEY", "GREETING"]
    assert found[0]["value"] is None


def test_a_list_of_many_is_whole(account: Account) -> None:
    account.parameters = {f"{PATH}/N_{number}": ("String", "x") for number in range(23)}
    assert len(jobs("config", "list").stdout.splitlines()) == 23


def test_an_empty_list_says_what_to_do(account: Account) -> None:
    done = jobs("config", "list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "job-runners config set NAME" in done.stderr


def test_what_is_deleted_is_gone_and_a_second_time_refused(account: Account) -> None:
    account.parameters = {f"{PATH}/API_KEY": ("SecureString", SECRET)}
    assert jobs("config", "delete", "API_KEY").exit_code == 0
    assert account.parameters == {}
    again = jobs("config", "delete", "API_KEY")
    assert again.exit_code == Exit.REFUSED
    assert "No setting is named API_KEY." in again.stderr


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("api_key", "Write it as API_KEY."),
        ("API-KEY", "Write it as API_KEY."),
        ("API/KEY", "Write it as API_KEY."),
        ("1KEY", "Write it as API_KEY."),
        ("", "Write it as API_KEY."),
        ("A" * 65, "Write it as API_KEY."),
        ("smtp.host", "Write it as SMTP_HOST."),
        ("webhook-secrets/main", "Write it as WEBHOOK_SECRETS_MAIN."),
        ("webhook-secrets/acme/a.b", "Write it as WEBHOOK_SECRETS_ACME_A_B."),
    ],
)
@pytest.mark.parametrize("verb", ["set", "delete"])
def test_what_can_not_be_a_name_is_refused(
    account: Account, verb: str, name: str, hint: str
) -> None:
    done = jobs("config", verb, name, *(["x"] if verb == "set" else []))
    assert done.exit_code == Exit.USAGE
    assert "is not a valid name" in done.stderr
    assert hint in done.stderr
    assert account.parameters == {}


def test_the_rule_of_names_is_the_one_that_work_reads_by() -> None:
    assert app_config.NAME_PATTERN == app_settings._NAME


def test_a_secret_is_not_taken_from_the_command_line(account: Account) -> None:
    done = jobs("config", "set", "API_KEY", SECRET, "--secret")
    assert done.exit_code == Exit.USAGE
    assert "Other users can see command lines" in done.stderr
    assert SECRET not in done.output
    assert account.parameters == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "The value of API_KEY is empty."),
        ("\n", "The value of API_KEY is empty."),
        ("x" * 4097, "has 4,097 bytes. The limit is 4,096"),
        ("é" * 2049, "has 4,098 bytes. The limit is 4,096"),
    ],
)
def test_a_value_that_can_not_be_kept_is_refused(account: Account, value: str, words: str) -> None:
    done = jobs("config", "set", "API_KEY", "--secret", stdin=value)
    assert done.exit_code == Exit.REFUSED
    assert words in done.stderr
    assert account.parameters == {}


@pytest.mark.parametrize(
    ("kind", "option", "words"),
    [
        ("SecureString", [], "is a secret and can't become a setting"),
        ("String", ["--secret"], "is a setting and can't become a secret"),
    ],
)
def test_a_secret_does_not_become_readable_by_a_slip(
    account: Account, kind: str, option: list[str], words: str
) -> None:
    account.parameters = {f"{PATH}/API_KEY": (kind, "old")}
    done = jobs("config", "set", "API_KEY", *option, stdin="new")
    assert done.exit_code == Exit.REFUSED
    assert words in done.stderr
    assert account.parameters[f"{PATH}/API_KEY"] == (kind, "old")


def test_a_refusal_of_aws_is_told_as_any_other(account: Account) -> None:
    account.refusals["GetParametersByPath"] = ("AccessDeniedException", "not authorized")
    done = jobs("config", "list")
    assert done.exit_code == Exit.NO_ACCESS
    assert "not authorized" in done.stderr


def test_an_unknown_command_of_config_is_refused(account: Account) -> None:
    assert jobs("config", "sett", "X", "y").exit_code == Exit.USAGE


# --- a terminal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "shown"), [([], True), (["--secret"], False)])
def test_a_secret_that_is_asked_for_is_not_shown(
    account: Account, monkeypatch: pytest.MonkeyPatch, option: list[str], shown: bool
) -> None:
    monkeypatch.setattr(config, "can_ask", lambda: True)
    done = jobs("config", "set", "API_KEY", *option, stdin=f"{SECRET}\n")
    assert done.exit_code == 0
    assert "Value of API_KEY: " in done.stderr
    assert (SECRET in done.output) == shown  # the runner shows what a terminal would
    assert account.parameters[f"{PATH}/API_KEY"][1] == SECRET


def test_nothing_is_asked_for_a_stack_that_is_not_there(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "can_ask", lambda: True)
    done = jobs("config", "set", "API_KEY", "--secret", "--stack", "none", stdin=f"{SECRET}\n")
    assert done.exit_code == Exit.NO_ACCESS
    assert "Value of" not in done.output
