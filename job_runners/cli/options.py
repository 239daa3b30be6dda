"""The options that every command has: which stack, whose credentials, which organisation, JSON."""

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


def _take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Remember a value for the command; `jobs --stack x list` and `jobs list --stack x` alike."""
    target: Target = ctx.find_root().ensure_object(Target)
    source = ctx.get_parameter_source(param.name or "")
    if source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        if param.name == "token" and value.startswith("@"):
            value = _read_token(value[1:])
        target.set_option(param.name or "", value, explicit=source is ParameterSource.COMMANDLINE)


def _read_token(path: str) -> str:
    """Return the token in a file. Raises click.BadParameter."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"no token can be read from {path}: {error}") from None


def _option(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, expose_value=False, is_eager=True, callback=_take, **settings)


def _options() -> list[click.Parameter]:
    return [
        _option(
            "--stack",
            "stack_name",
            metavar="NAME",
            envvar=["JOB_RUNNERS_STACK", "JOBS_STACK"],  # the second is its old name
            help="A deployed stack, by its name in CloudFormation (or JOB_RUNNERS_STACK). Without "
            "it: the local AWS while make run is up, else the stack that samconfig.toml names.",
        ),
        _option("--local", is_flag=True, help="The local AWS, whatever JOB_RUNNERS_STACK says."),
        _option(
            "--region",
            metavar="NAME",
            envvar="AWS_REGION",  # as the aws command; its libraries know AWS_DEFAULT_REGION alone
            help="The AWS region, if not your settings' own.",
        ),
        _option("--profile", metavar="NAME", help="Whose AWS credentials, if not the default's."),
        _option(
            "--api-url",
            metavar="URL",
            envvar="JOBS_API_URL",
            help="The API's address, for those who may not look into CloudFormation "
            "(or JOBS_API_URL).",
        ),
        _option(
            "--token",
            envvar="JOBS_TOKEN",
            metavar="@FILE",
            help="A file with a token, for a stack that takes those (or JOBS_TOKEN). A token "
            "itself works too, but others on this machine see it in the list of processes.",
        ),
        _option(
            "--organization",
            metavar="ID",
            envvar="JOBS_ORGANIZATION",
            help="On whose behalf (or JOBS_ORGANIZATION); if not set the token's own, or default.",
        ),
        _option("--json", is_flag=True, help="JSON on standard output; errors as JSON too."),
    ]


class SharedOptions(click.Command):
    """A command whose help has its own options first, and the shared ones apart: `jobs --help`
    explains those, other pages name them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click calls it."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        shared = [each for each in options if each.callback is _take]
        _write(ctx, formatter, "Options", [each for each in options if each not in shared])
        if ctx.parent is None:
            _write(ctx, formatter, "For every command", shared)
        else:
            with formatter.section("For every command (see jobs --help)"):
                formatter.write_text(" ".join(each.opts[0] for each in shared))


class CommandGroup(SharedOptions, click.Group):
    """A command that has commands of its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click calls it."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


def _write(
    ctx: click.Context, formatter: click.HelpFormatter, title: str, options: list[click.Option]
) -> None:
    records = [record for each in options if (record := each.get_help_record(ctx))]
    with formatter.section(title):
        formatter.write_dl(records)


def shared_options(command: _C) -> _C:
    """Give a command the options that all have."""
    command.params.extend(_options())
    return command


def command(**settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a command of `jobs`: click's, with the shared options, called with Target as its first
    argument."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def called(target: Target, *given: Any, **options: Any) -> Any:
            target.notes_outdated = True  # and not while a shell completes a command
            return function(target, *given, **options)

        made = click.command(cls=SharedOptions, **settings)(click.pass_obj(called))
        return shared_options(made)

    return decorate


def group(**settings: Any) -> Callable[[Callable[..., Any]], CommandGroup]:
    """Return a command of `jobs` that has commands of its own, with the shared options."""

    def decorate(function: Callable[..., Any]) -> CommandGroup:
        return shared_options(click.group(cls=CommandGroup, **settings)(function))

    return decorate


def pausable(function: _F) -> _F:
    """Return a job type as an argument, or a queue as an option: `kind` and `name` of what is
    meant."""

    @wraps(function)
    def called(target: Target, *, job_type: str | None, queue: str | None) -> Any:
        if (job_type is None) == (queue is None):
            raise click.UsageError("Which one? Give a job type, or --queue NAME")
        kind = "queue" if job_type is None else "job_type"
        return function(target, kind=kind, name=job_type or queue)

    argument = click.argument("job_type", required=False, shell_complete=names_of("jobs"))
    option = click.option("--queue", metavar="NAME", help="A queue, instead of a job type.")
    return cast(_F, argument(option(called)))
