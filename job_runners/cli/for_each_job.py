"""Apply a command to several jobs or tasks. If the API refuses it for one, go on with the rest."""

import math
import sys
import time
from collections.abc import Callable, Iterable

import click

from job_runners.cli import output
from job_runners.cli.finding import find_job
from job_runners.cli.polling import watch_jobs
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation, unless `yes` is set. Raises UsageError if input isn't a terminal."""
    if yes:
        return
    require_terminal(question)
    click.confirm(question, abort=True, err=True)


def require_terminal(question: str) -> None:
    """Raise UsageError if input isn't a terminal, because then no question can be answered."""
    if not can_ask():
        raise click.UsageError(f"{question} Input isn't a terminal, so pass --yes to confirm.")


def can_ask() -> bool:
    """Return whether input is a terminal."""
    return sys.stdin.isatty()


# A function that acts on a job or task by its id. It returns the JSON and the text to print.
Action = Callable[[str], tuple[dict[str, object], str]]


def for_each_job(
    target: Target,
    ids: Iterable[str],
    action: Action,
    rate: float = math.inf,
    *,
    watch: bool = False,
) -> Exit:
    """Call `action` for each job and print its outcome, at most `rate` jobs per second. Each of
    `ids` may be the start of an id. With `watch`, follow the jobs that `action` has returned."""
    done_ids: list[str] = []

    def act(start: str) -> tuple[dict[str, object], str]:
        value, text = action(find_job(target, start))
        done_ids.append(str(value["id"]))
        return value, text

    exit_code = for_each(target, ids, act, rate)
    if watch and done_ids:
        return watch_jobs(target, done_ids) or exit_code
    return exit_code


def for_each(target: Target, ids: Iterable[str], action: Action, rate: float = math.inf) -> Exit:
    """Call `action` for each id and print its outcome, at most `rate` ids per second.

    After a refusal, the loop continues. Any other error, such as missing access, ends it, because
    the calls for the other ids would fail too.
    """
    exit_code = Exit.DONE
    began_at = time.monotonic()
    for index, work_id in enumerate(dict.fromkeys(ids)):
        time.sleep(max(0, began_at + index / rate - time.monotonic()))
        try:
            value, text = action(work_id)
        except Problem as problem:
            if problem.code is not Exit.REFUSED:
                raise
            exit_code = problem.code
            value = {"id": work_id, **problem.as_json()}
            text = click.style(output.plain(str(problem)), fg="red")
        if target.json:
            output.print_json_line(value)
        else:
            click.echo(f"{work_id}  {text}")
    return exit_code
