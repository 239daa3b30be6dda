"""jobs watch: jobs, followed to their end."""

import sys

import click

from job_runners.cli import output, times
from job_runners.cli.api import Job
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target

_EPILOG = """\
\b
Exit codes
  0    all succeeded
  3    one failed
  4    none failed, but one was cancelled
  7    --timeout: the time is over, and one has not ended
  130  Ctrl-C: the jobs go on
"""


@jobs_command(epilog=_EPILOG)
@click.argument("job_ids", nargs=-1, required=True)
@click.option(
    "--timeout", metavar="SPAN", callback=times.seconds, help="Give up after so long: 90s, 15m."
)
def command(target: Target, job_ids: tuple[str, ...], timeout: float | None) -> Exit:
    """Follow jobs to their end: bars on a terminal, a line for each change in a pipe, with --json
    a JSON object for each. Asks as often as the API suggests. Ctrl-C leaves the jobs alone."""
    return watch_jobs(target, [target.api.find(each) for each in job_ids], timeout)


def watch_jobs(target: Target, ids: list[str], timeout: float | None = None) -> Exit:
    """Follow them, and say what came of it."""
    from job_runners.cli.polling import Followed, follow
    from job_runners.cli.watching import screen

    followed = Followed()
    try:
        with screen(ids, as_json=target.json) as shown:
            follow(target.api, followed, ids, shown, timeout)
    except KeyboardInterrupt:
        _say_they_go_on(followed.unfinished or ids, "You stopped watching")
        return Exit.INTERRUPTED
    if followed.unfinished:
        _say_they_go_on(followed.unfinished, "The time is over")
    if sys.stdout.isatty() and not target.json and len(ids) == 1:
        _say_outcome(followed.jobs[ids[0]] or {})
    return followed.code


def _say_they_go_on(ids: list[str], why: str) -> None:
    is_or_are = "the job is" if len(ids) == 1 else f"{len(ids)} jobs are"
    click.echo(f"{why}; {is_or_are} not stopped by that.", err=True)
    click.echo(f"  jobs watch {' '.join(ids)}", err=True)
    click.echo(f"  jobs cancel {' '.join(ids)}", err=True)


def _say_outcome(job: Job) -> None:
    """Say what a person would look up next."""
    if job.get("status") == "succeeded" and job.get("result") is not None:
        output.print_json(job["result"])
    if job.get("status") == "failed":
        error = job.get("error") or {}
        click.secho(output.indented(f"{error.get('kind')}: {error.get('message')}", 2), fg="red")
        short = output.short(job["id"])
        click.echo(f"More: jobs logs {short}\nAgain: jobs retry {short}")
