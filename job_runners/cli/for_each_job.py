"""The same done to each of several jobs: what is refused for one does not hold up the others."""

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


def for_each_job(
    target: Target, ids: Iterable[str], do: Callable[[str], tuple[dict[str, object], str]]
) -> Exit:
    """Do it to each and print each; `do` returns the JSON and the text. Access that is refused
    once would be refused each time: that ends it."""
    code = Exit.DONE
    for job_id in dict.fromkeys(ids):
        try:
            value, text = do(target.api.find(job_id))
        except Problem as problem:
            if problem.code is not Exit.REFUSED:
                raise
            code = problem.code
            value, text = (
                {"id": job_id, **problem.as_json()},
                click.style(output.plain(str(problem)), fg="red"),
            )
        if target.json:
            output.print_json_line(value)
        else:
            click.echo(f"{job_id}  {text}")
    return code
