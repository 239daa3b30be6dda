"""The commands, what they share, and how each of them ends.

Nothing heavy is imported here: `jobs --help` and completion answer at once.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from job_runners import __version__
from job_runners.cli.options import SharedOptions, shared_options
from job_runners.cli.output import plain
from job_runners.cli.problem import Exit, Problem

# Name, and what it does, in the order of `jobs --help`.
COMMANDS = {
    "Work": {
        "dispatch": "Have a job done",
        "task": "Send a task: small, and not tracked",
        "tasks": "Tasks that failed for good",
        "list": "The jobs of your organisation, newest first",
        "show": "One job, with its payload, result and error",
        "watch": "Follow jobs to their end",
        "cancel": "Stop jobs",
        "retry": "Have failed or cancelled jobs done again",
        "rerun": "Do what a job did once more, as a new job",
        "delete": "Forget finished jobs",
    },
    "Flow": {
        "types": "What can be dispatched, and with which payload",
        "queues": "Who uses the queues, how many wait, and since when",
        "limit": "Change how many jobs of a queue run at once, and how fast they start",
        "schedules": "What is done again and again: when, how the last went, what comes next",
        "pause": "Hold back a job type or a queue",
        "resume": "Let it go on",
        "paused": "What is held back",
    },
    "Operation": {
        "dashboard": "Open the dashboard, its calls signed",
        "logs": "What a job or a task has printed and logged",
        "doctor": "Check the stack, and say how to fix it",
        "erase": "Remove an organisation, with all that is kept of it",
        "redrive": "Send dead letters and failed tasks again",
        "config": "Settings and secrets of your own jobs and tasks",
        "cost": "What jobs cost a month on AWS, line by line",
    },
    "Your own work": {
        "new": "Write a job to start from, with its test",
    },
    "This terminal": {
        "shell": "Make `jobs` work at your prompt, with completion",
    },
}
_SUMMARIES = {name: text for group in COMMANDS.values() for name, text in group.items()}

_EPILOG = """\
\b
Exit codes
  0    done
  1    refused: what was asked for can't be done; doctor: something is wrong
  2    the command line is wrong
  3    watch: a job failed
  4    watch: none failed, but one was cancelled
  5    no access: no credentials, no permission, no such stack
  6    no answer: out of reach or overloaded; trying again may help
  7    watch --timeout: the time is over, and a job is not
  130  Ctrl-C

\b
Examples
  jobs dispatch import_contacts key=uploads/default/may.csv --campaign spring --watch
  jobs list --status failed
  jobs retry --failed --type import_contacts
"""


class Jobs(SharedOptions, click.Group):
    """The command itself: it loads a subcommand's module only when that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """As click calls it."""
        return list(_SUMMARIES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """As click calls it."""
        if name not in _SUMMARIES:
            return None
        command: click.Command = importlib.import_module(f"job_runners.cli.commands.{name}").command
        command.short_help = _SUMMARIES[name]
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click calls it. The commands come first: they are what people look for."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click calls it."""
        if args[0] not in _SUMMARIES and not args[0].startswith("-"):
            near = get_close_matches(args[0], _SUMMARIES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """In groups, without importing any."""
        width = max(map(len, _SUMMARIES)) + 4
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=width, col_spacing=3)

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run a command line, and end the process as it went."""
        given = sys.argv[1:] if args is None else args
        try:
            code = super().main(args, **(extra | {"standalone_mode": False}))
        except Problem as problem:
            _end(problem, as_json="--json" in given)
        except click.ClickException as wrong:
            wrong.show()
            sys.exit(Exit.USAGE)
        except (click.Abort, KeyboardInterrupt):
            click.echo("Stopped.", err=True)
            sys.exit(Exit.INTERRUPTED)
        except SystemExit:  # click's own: completed, or nobody reads on (`jobs list | head`)
            sys.exit(Exit.DONE)
        except Exception as error:
            explained = _explained(error)
            if explained is None:
                raise
            _end(explained, as_json="--json" in given)
        sys.exit(code or Exit.DONE)


def _explained(error: Exception) -> Problem | None:
    """Return an error of AWS's clients, as a Problem."""
    if "botocore" not in sys.modules:
        return None
    from job_runners.cli.refusals import explain

    return explain(error)


def _end(problem: Problem, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps(problem.as_json()), err=True)
    else:
        click.secho(plain(str(problem)), fg="red", err=True)
        if problem.hint:
            click.echo(plain(problem.hint), err=True)
    sys.exit(problem.code)


@shared_options
@click.group(
    cls=Jobs,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name=None, version=__version__, message="%(prog)s %(version)s")
def jobs() -> None:
    """Background jobs of a Job Runners stack: have them done, follow them, fix what is wrong."""
