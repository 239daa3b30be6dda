"""Decorators that define commands, and the options that every command shares: stack, credentials,
organization and JSON."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from job_runners.cli.completion import names_of
from job_runners.cli.target import Target

_C = TypeVar("_C", bound=click.Command)
_F = TypeVar("_F", bound=Callable[..., Any])


def _store_option(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Store a shared option in the Target. It may come before or after the command's name."""
    target: Target = ctx.find_root().ensure_object(Target)
    name = param.name or ""
    source = ctx.get_parameter_source(name)
    if source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        if name == "token" and value.startswith("@"):
            value = _read_token(value[1:])
        target.set_option(name, value, explicit=source is ParameterSource.COMMANDLINE)


def _read_token(path: str) -> str:
    """Return the token in a file. Raises click.BadParameter."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"no token can be read from {path}: {error}") from None


class _SharedOption(click.Option):
    """An option that only `job-runners --help` describes, and not the help of a subcommand."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's names and help, or None in a subcommand."""
        return super().get_help_record(ctx) if ctx.parent is None else None


def _option(*names: str, **settings: Any) -> click.Option:
    return _SharedOption(
        names, expose_value=False, is_eager=True, callback=_store_option, **settings
    )


def _create_shared_options() -> list[click.Option]:
    return [
        _option(
            "--stack",
            "stack_name",
            metavar="NAME",
            envvar="JOB_RUNNERS_STACK",
            help="Name of the CloudFormation stack (or JOB_RUNNERS_STACK). Default: the local AWS "
            "while job-runners run is up, otherwise the stack in samconfig.toml.",
        ),
        _option(
            "--local", is_flag=True, help="Use the local AWS, even if JOB_RUNNERS_STACK is set."
        ),
        _option(
            "--region",
            metavar="NAME",
            envvar="AWS_REGION",  # as in the aws command; botocore reads only AWS_DEFAULT_REGION
            help="AWS region (default: from your AWS configuration).",
        ),
        _option("--profile", metavar="NAME", help="AWS profile to take credentials from."),
        _option(
            "--api-url",
            metavar="URL",
            envvar="JOBS_API_URL",
            help="URL of the API, if you can't read CloudFormation (or JOBS_API_URL).",
        ),
        _option(
            "--token",
            envvar="JOBS_TOKEN",
            metavar="@FILE",
            help="File with a bearer token, for a stack with JwtIssuer (or JOBS_TOKEN). You can "
            "pass the token itself, but other users can see command lines.",
        ),
        _option(
            "--organization",
            metavar="ID",
            envvar="JOBS_ORGANIZATION",
            help="Organization to act for (or JOBS_ORGANIZATION). Default: the token's "
            'organization, otherwise "default".',
        ),
        _option("--json", is_flag=True, help="Print JSON to standard output, and errors as JSON."),
    ]


class CommandWithSharedOptions(click.Command):
    """A command whose help lists only the names of the shared options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then the names of the shared ones."""
        click.Command.format_options(self, ctx, formatter)
        with formatter.section("Options for every command (described in job-runners --help)"):
            formatter.write_text(" ".join(option.opts[0] for option in _create_shared_options()))


class CommandGroup(CommandWithSharedOptions, click.Group):
    """A command with subcommands."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands before the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


def shared_options(command: _C) -> _C:
    """Add the shared options to a command."""
    command.params.extend(_create_shared_options())
    return command


def command(**settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a function a command with the shared options.

    The command calls the function with the Target as its first argument.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        create_command = click.command(cls=CommandWithSharedOptions, **settings)
        return shared_options(create_command(click.pass_obj(function)))

    return decorate


def group(function: Callable[[], None]) -> CommandGroup:
    """Make a command with subcommands, by default `list`. Its help is the function's docstring."""

    @click.group(cls=CommandGroup, invoke_without_command=True)
    @click.pass_context
    @wraps(function)
    def command_group(ctx: click.Context) -> None:
        if ctx.invoked_subcommand is None:
            ctx.invoke(cast(CommandGroup, ctx.command).commands["list"])

    return shared_options(command_group)


watch = click.option(
    "--watch",
    is_flag=True,
    help="Follow the work until it ends. Exit codes as in job-runners watch.",
)


def require_one(names: str, *values: object) -> None:
    """Raise UsageError unless exactly one value isn't None. `names` says what the user can pass."""
    count = sum(value is not None for value in values)
    if count == 0:
        raise click.UsageError(f"Pass {names}.")
    if count > 1:
        raise click.UsageError(f"Pass {names}, and only one of them.")


def job_type_or_queue(function: _F) -> _F:
    """Let a command take either the argument JOB_TYPE or the option --queue.

    The function gets `kind`, which is "job_type" or "queue", and `name`.
    """

    @wraps(function)
    def wrapper(target: Target, *, job_type: str | None, queue: str | None) -> Any:
        if job_type and queue:
            raise click.UsageError("Pass a job type, or --queue NAME, not both.")
        kind = "job_type" if queue is None else "queue"
        return function(target, kind=kind, name=job_type or queue)

    argument = click.argument("job_type", required=False, shell_complete=names_of("jobs"))
    option = click.option("--queue", metavar="NAME", help="Name of a queue, instead of a job type.")
    return cast(_F, argument(option(wrapper)))
