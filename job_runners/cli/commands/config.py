"""jobs config: the settings and secrets that a stack's own work reads."""

import sys

import click

from job_runners.cli import output
from job_runners.cli.app_config import AppConfig, check_name
from job_runners.cli.options import command as jobs_command
from job_runners.cli.options import group as jobs_group
from job_runners.cli.target import LOCAL, Target


@jobs_group()
def command() -> None:
    """Keep the settings and secrets that your own jobs and tasks read by name, as
    `app_setting("API_KEY")`. They are in SSM's Parameter Store; a change is in use within a minute,
    with no deploy."""


@jobs_command(name="set")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--secret", is_flag=True, help="Keep it encrypted, and show it to nobody.")
def set_setting(target: Target, name: str, value: str | None, secret: bool) -> None:
    """Set NAME. Without VALUE it is asked for, or read from standard input, less the end of its
    last line. A secret is never taken from the command line, which others on this machine can read.

    \b
    jobs config set GREETING "Hello"
    jobs config set API_KEY --secret
    jobs config set API_KEY --secret < key.txt
    """
    check_name(name)
    if value is not None and secret:
        raise click.UsageError(
            "A secret on the command line can be read by others, and stays in the shell's history: "
            "leave VALUE out, and it is asked for or read from standard input"
        )
    config = _config(target)  # before anybody types a value that there is no stack for
    if value is None:
        value = _asked_for(name, secret=secret)
    config.set(name, value, secret=secret)
    kind = "secret" if secret else "setting"
    _say(target, {"name": name, "type": kind}, f"The {kind} {name} is set for {_whose(target)}.")


@jobs_command(name="list")
def list_settings(target: Target) -> None:
    """Show names, types and times of change. Values of secrets are not read."""
    found = _config(target).all()
    if target.json:
        output.print_json([each.as_json() for each in found])
        return
    if not found:
        click.echo(
            f"There are no settings for {_whose(target)}. Set one: jobs config set NAME", err=True
        )
        return
    output.table(
        ("NAME", "TYPE", "CHANGED", "VALUE"),
        [(each.name, each.kind, output.ago(each.changed_at), each.value or "") for each in found],
    )


@jobs_command(name="delete")
@click.argument("name")
def delete_setting(target: Target, name: str) -> None:
    """Delete NAME. Work that asks for it, and has no default, fails from then on."""
    check_name(name)
    _config(target).delete(name)
    _say(target, {"name": name}, f"{name} is deleted for {_whose(target)}.")


for each in (set_setting, list_settings, delete_setting):
    command.add_command(each)


def _config(target: Target) -> AppConfig:
    return AppConfig(target.client("ssm"), target.stack.name)


def _whose(target: Target) -> str:
    """Return whose settings they are: a stack's, also where JOBS_API_URL names another's API."""
    return LOCAL if target.stack.is_local else f"stack {target.stack.name}"


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _asked_for(name: str, *, secret: bool) -> str:
    if _can_ask():
        asked: str = click.prompt(f"Value of {name}", hide_input=secret, err=True)
        return asked
    value = sys.stdin.read()
    return value.removesuffix("\n").removesuffix("\r")


def _say(target: Target, done: dict[str, str], words: str) -> None:
    if target.json:
        output.print_json(done)
    else:
        click.echo(words, err=True)
