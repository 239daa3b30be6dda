"""job-runners config: manage the settings and secrets that jobs and tasks read."""

import sys
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.app_config import WEBHOOK_SECRET_PATTERN, AppConfig, check_name
from job_runners.cli.for_each_job import can_ask
from job_runners.cli.listing import print_entries
from job_runners.cli.target import Target


@options.group
def command() -> None:
    """Manage the settings and secrets that your code reads with app_setting("NAME"), and the
    secrets that sign webhooks. Without a subcommand, list them.

    They are stored in SSM Parameter Store. A change takes effect within a minute, without a
    deploy."""


@options.command(name="set")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--secret", is_flag=True, help="Store the value encrypted, and never display it.")
def set_setting(target: Target, name: str, value: str | None, secret: bool) -> None:
    """Set NAME. Without VALUE, prompt for it or read standard input (without the final newline).
    Secrets can't be arguments, because other users can see command lines.

    \b
    job-runners config set GREETING "Hello"
    job-runners config set API_KEY --secret
    job-runners config set API_KEY --secret < key.txt
    job-runners config set webhook-secrets/acme/main --secret < webhook-secret.txt
    """
    check_name(name)
    if WEBHOOK_SECRET_PATTERN.fullmatch(name) and not secret:
        raise click.UsageError("The secret of a webhook must be encrypted. Add --secret.")
    if value is not None and secret:
        raise click.UsageError(
            "Other users can see command lines, and the shell keeps them in its history. Leave "
            "VALUE out to type the secret at a prompt or to pass it on standard input."
        )
    config = _app_config(target)  # may fail, so do it before the user types a value
    if value is None:
        value = _read_value(name, secret=secret)
    config.set(name, value, secret=secret)
    kind = "secret" if secret else "setting"
    _print_done(
        target,
        {"name": name, "type": kind},
        f"Set the {kind} {name} for {target.stack_in_words}.",
    )


@options.command(name="list")
def list_settings(target: Target) -> None:
    """List names, types and times of change. Secret values aren't read."""
    if_empty = f"No settings for {target.stack_in_words}. Set one with job-runners config set NAME."
    headings = ("NAME", "TYPE", "CHANGED", "VALUE")
    settings = _app_config(target).all()
    print_entries(target, "settings", settings, headings, _row, if_empty=if_empty)


@options.command(name="delete")
@click.argument("name")
def delete_setting(target: Target, name: str) -> None:
    """Delete NAME. Jobs that read it without a default will fail."""
    check_name(name)
    _app_config(target).delete(name)
    _print_done(target, {"name": name}, f"Deleted {name} for {target.stack_in_words}.")


for subcommand in (set_setting, list_settings, delete_setting):
    command.add_command(subcommand)


def _row(setting: dict[str, Any]) -> tuple[str, ...]:
    changed_at = output.relative_time(setting["changed_at"])
    value = setting["value"] or ""  # None for a secret
    return setting["name"], setting["type"], changed_at, value


def _app_config(target: Target) -> AppConfig:
    return AppConfig(target.client("ssm"), target.stack.name)


def _read_value(name: str, *, secret: bool) -> str:
    if can_ask():
        value: str = click.prompt(f"Value of {name}", hide_input=secret, err=True)
        return value
    text = sys.stdin.read()
    return text.removesuffix("\n").removesuffix("\r")


def _print_done(target: Target, result: dict[str, str], text: str) -> None:
    if target.json:
        output.print_json(result)
    else:
        click.echo(text, err=True)
