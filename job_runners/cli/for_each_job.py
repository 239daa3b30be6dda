"""Apply a command to several jobs or tasks, even if the API refuses it for some of them."""

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
    """Raise UsageError if input isn't a terminal, because then the user can't be asked."""
    if not can_ask():
        raise click.UsageError(f"{question} Input isn't a terminal, so pass --yes to confirm.")


def can_ask() -> bool:
    """Return whether input is a terminal."""
    return sys.stdin.isatty()


Action = Callable[[str], tuple[dict[str, object], str]]
"""A function that acts on the job or task with an id.

It returns the outcome as JSON and as text.
"""


def for_each_job(
    target: Target,
    ids: Iterable[str],
    action: Action,
    rate: float = math.inf,
    *,
    watch: bool = False,
) -> Exit:
    """Call `action` for each job as `for_each` does. `ids` may contain shortened ids.

    With `watch`, then follow the jobs that `action` returned.
    """
    returned_ids: list[str] = []

    def act(start: str) -> tuple[dict[str, object], str]:
        job, text = action(find_job(target, start))
        returned_ids.append(str(job["id"]))
        return job, text

    exit_code = for_each(target, ids, act, rate)
    if watch and returned_ids:
        return watch_jobs(target, returned_ids) or exit_code
    return exit_code


def for_each(target: Target, ids: Iterable[str], action: Action, rate: float = math.inf) -> Exit:
    """Call `action` for each id, at most `rate` times per second, and print each outcome.

    If the API refuses a call, go on with the next id. Any other error, such as missing access, ends
    the loop, because the remaining calls would fail too.
    """
    exit_code = Exit.DONE
    began_at = time.monotonic()
    for index, work_id in enumerate(dict.fromkeys(ids)):
        # Wait for this call's turn. Without a rate, `index / rate` is 0.
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
