"""Apply a command to several jobs or tasks. If one of them is refused, continue with the others."""

import math
import sys
import time
from collections.abc import Callable, Iterable

import click

from job_runners.cli import output
from job_runners.cli.finding import find_job
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


# A function that acts on the job or task with this id. It returns the JSON and the text to print.
Action = Callable[[str], tuple[dict[str, object], str]]


def for_each_job(target: Target, ids: Iterable[str], do: Action, rate: float = math.inf) -> Exit:
    """Call `do` for each job and print its outcome, at most `rate` a second. Each of `ids` may be
    the start of an id."""
    return for_each(target, ids, lambda start: do(find_job(target, start)), rate)


def for_each(target: Target, ids: Iterable[str], do: Action, rate: float = math.inf) -> Exit:
    """Call `do` for each id and print its outcome, at most `rate` a second.

    After a refusal, the loop continues. Any other error, such as missing access, ends it, because
    every other call would fail too.
    """
    code, began = Exit.DONE, time.monotonic()
    for number, each in enumerate(dict.fromkeys(ids)):
        time.sleep(max(0, began + number / rate - time.monotonic()))
        try:
            value, text = do(each)
        except Problem as problem:
            if problem.code is not Exit.REFUSED:
                raise
            code = problem.code
            value, text = (
                {"id": each, **problem.as_json()},
                click.style(output.plain(str(problem)), fg="red"),
            )
        if target.json:
            output.print_json_line(value)
        else:
            click.echo(f"{each}  {text}")
    return code
