"""The same done to each of several jobs or tasks: one that is refused holds up no other."""

import sys
from collections.abc import Callable, Iterable

import click

from job_runners.cli import output
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless told not to. Where nobody can answer, not asking has to be said."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is here to answer: add --yes")
    click.confirm(question, abort=True, err=True)


Do = Callable[[str], tuple[dict[str, object], str]]  # to one, by its id: the JSON and the text


def for_each_job(target: Target, ids: Iterable[str], do: Do) -> Exit:
    """Do it to each job and print each; an id may be the start of one."""
    return for_each(target, ids, lambda start: do(target.api.find(start)))


def for_each(target: Target, ids: Iterable[str], do: Do) -> Exit:
    """Do it to each and print each. Access that is refused once would be refused each time: that
    ends it."""
    code = Exit.DONE
    for each in dict.fromkeys(ids):
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
