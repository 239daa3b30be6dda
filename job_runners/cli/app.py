"""The `job-runners` command: its subcommands, help and exit codes.

This module imports nothing slow, so that `job-runners --help` and shell completion are fast.
"""

import importlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from job_runners import __version__
from job_runners.cli.options import shared_options
from job_runners.cli.output import plain
from job_runners.cli.problem import Exit, Problem
from job_runners.places import COMMAND

# The names and summaries of all commands, in the order of `job-runners --help`.
COMMANDS = {
    "Jobs and tasks": {
        "dispatch": "Dispatch a job",
        "batch": "Dispatch many jobs, and one more when all have ended",
        "task": "Send a task (not tracked)",
        "upload": "Upload a file for jobs",
        "list": "List jobs, newest first",
        "show": "Show one job",
        "watch": "Follow jobs until they finish",
        "cancel": "Cancel jobs",
        "signal": "Send a job the signal that it waits for",
        "retry": "Retry failed or canceled jobs",
        "rerun": "Dispatch finished jobs again as new jobs",
        "failures": "List and fix what fails: jobs, tasks, dead letters",
        "delete": "Delete finished jobs",
    },
    "Queues and schedules": {
        "types": "List job types and tasks",
        "queues": "Show and limit queues",
        "schedules": "Manage schedules",
        "webhooks": "Manage webhooks that are called when jobs end",
        "pause": "Pause a job type or a queue, or list what is paused",
        "resume": "Resume a job type or a queue",
    },
    "Operations": {
        "dashboard": "Serve the dashboard",
        "logs": "Show the log of a job or task",
        "doctor": "Check a stack and suggest fixes",
        "erase": "Erase an organization",
        "config": "Manage settings and secrets",
    },
    "Your own project": {
        "init": "Create a project",
        "new": "Create a job from a template",
        "test": "Check and test the project's jobs",
        "run": "Run the project on a local AWS",
        "build": "Build the functions for AWS",
        "deploy": "Build and deploy to AWS",
        "smoke": "Check an AWS account with a throwaway stack",
        "eject": "Copy the template into the project",
    },
}
_SUMMARIES = {name: text for group in COMMANDS.values() for name, text in group.items()}

_EPILOG = """\
\b
Exit codes
  0    done
  1    refused: the stack can't do this; doctor: a check failed
  2    wrong command line
  3    watch: a job failed
  4    watch: no job failed, but one was canceled
  5    no access: missing credentials, permission or stack
  6    no answer: unreachable or overloaded; try again
  7    watch --timeout: timed out before every job finished
  130  Ctrl-C

\b
Examples
  job-runners dispatch resize_image key=uploads/default/cat.png width:=300 --watch
  job-runners list --status failed
  job-runners retry --failed --type resize_image
"""


class _LazyCommands(click.Group):
    """All commands. A command's module is imported only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(_SUMMARIES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, or return None for an unknown name."""
        if name not in _SUMMARIES:
            return None
        module = importlib.import_module(f"job_runners.cli.commands.{name}")
        command: click.Command = module.command
        command.short_help = _SUMMARIES[name]
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands before the options, because people look for commands."""
        self.format_commands(ctx, formatter)
        # Skip click.Group's method, which writes the commands after the options.
        click.Command.format_options(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, and suggest a name for a misspelled one."""
        if args[0] not in _SUMMARIES and not args[0].startswith("-"):
            matches = get_close_matches(args[0], _SUMMARIES, n=1)
            hint = " List them with job-runners --help."
            if matches:
                hint = f" Did you mean {matches[0]}?"
            raise click.UsageError(f"No command is named {args[0]}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands under their headings, without importing their modules."""
        width = max(map(len, _SUMMARIES)) + 4
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=width, col_spacing=3)

    def main(self, args: Sequence[str] | None = None, *_: Any, **settings: Any) -> NoReturn:
        """Run a command line, and exit the process with the code for its outcome."""
        as_json = "--json" in (sys.argv[1:] if args is None else args)
        settings["standalone_mode"] = False  # otherwise click would print errors and exit
        exit_with_code(lambda: super(_LazyCommands, self).main(args, **settings), as_json=as_json)


def exit_with_code(run: Callable[[], int | None], *, as_json: bool = False) -> NoReturn:
    """Run a command, print what went wrong, and exit the process with the code for its outcome."""
    try:
        code = run()
    except click.ClickException as usage_error:
        usage_error.show()
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(Exit.INTERRUPTED)
    except SystemExit:  # click exits after shell completion, and if a pipe closes (`| head`)
        sys.exit(Exit.DONE)
    except Exception as error:
        problem = _as_problem(error)
        if problem is None:
            raise
        _print_problem(problem, as_json=as_json)
        sys.exit(problem.code)
    sys.exit(code or Exit.DONE)


def _as_problem(error: Exception) -> Problem | None:
    """Convert an error of Job Runners or an AWS client. Return None for any other error."""
    if isinstance(error, Problem):
        return error
    from job_runners.errors import JobRunnersError

    if isinstance(error, JobRunnersError):
        return Problem(str(error))
    if "botocore" not in sys.modules:  # the error can't be botocore's
        return None
    from job_runners.cli.refusals import aws_problem  # imports botocore, which is slow

    return aws_problem(error)


def _print_problem(problem: Problem, *, as_json: bool) -> None:
    if as_json:
        click.echo(_with_command_path(json.dumps(problem.as_json())), err=True)
        return
    click.secho(plain(_with_command_path(str(problem))), fg="red", err=True)
    if problem.hint:
        click.echo(plain(_with_command_path(problem.hint)), err=True)


def _with_command_path(text: str) -> str:
    """Return a text whose commands can be copied. In a checkout, they begin with bin/."""
    subcommands = "|".join(_SUMMARIES)
    # `job-runners` is a command only before a subcommand. Elsewhere, it may be a stack's name.
    return re.sub(rf"(?<![\w/-])job-runners(?= (?:{subcommands})\b)", COMMAND, text)


@shared_options
@click.group(
    cls=_LazyCommands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name=None, version=__version__, message="%(prog)s %(version)s")
def jobs() -> None:
    """Dispatch, follow and fix background jobs of a Job Runners stack."""
