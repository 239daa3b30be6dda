"""job-runners watch: follow jobs until they finish."""

import sys

import click

from job_runners.cli import options, output, times
from job_runners.cli.finding import find_job
from job_runners.cli.output import Job
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target

_EPILOG = """\
\b
Exit codes
  0    all jobs succeeded
  3    a job failed, or a member of a batch
  4    no job failed, but one was canceled
  7    --timeout: timed out before every job finished
  130  Ctrl-C: the jobs continue
"""


@options.command(epilog=_EPILOG)
@click.argument("job_ids", nargs=-1, required=True)
@click.option(
    "--timeout",
    metavar="SPAN",
    callback=times.seconds,
    help="Time to wait before giving up, such as 90s or 15m (default: no limit).",
)
def command(target: Target, job_ids: tuple[str, ...], timeout: float | None) -> Exit:
    """Follow jobs until they finish.

    Prints a progress bar for each job on a terminal, a line for each change in a pipe, and a JSON
    object for each change with --json. At the end, prints the result of one succeeded job. Polls as
    often as the API suggests. Ctrl-C stops watching, not the jobs."""
    return watch_jobs(target, [find_job(target, each) for each in job_ids], timeout)


def watch_jobs(target: Target, ids: list[str], timeout: float | None = None) -> Exit:
    """Follow jobs until they finish, print the outcome and return the exit code."""
    from job_runners.cli.polling import FollowedJobs, follow
    from job_runners.cli.watching import screen

    followed = FollowedJobs()
    try:
        with screen(ids, as_json=target.json) as shown:
            follow(target, followed, ids, shown, timeout)
    except KeyboardInterrupt:
        _note_unfinished(followed.unfinished or ids, "You stopped watching")
        return Exit.INTERRUPTED
    if followed.unfinished:
        _note_unfinished(followed.unfinished, "Timed out")
    if not target.json and len(ids) == 1:
        job = followed.jobs[ids[0]] or {}
        _print_outcome(job)
    batches = [each["id"] for each in followed.jobs.values() if each and _is_ended_batch(each)]
    if followed.code is Exit.DONE and any(target.api.batch(each).failed for each in batches):
        return Exit.JOB_FAILED
    return followed.code


def _is_ended_batch(job: Job) -> bool:
    return bool(job["job_type"] == "batch" and job["status"] == "succeeded")


def _note_unfinished(ids: list[str], why: str) -> None:
    continues = "The job continues" if len(ids) == 1 else f"{len(ids)} jobs continue"
    click.echo(f"{why}. {continues}.", err=True)
    click.echo(f"  job-runners watch {' '.join(ids)}", err=True)
    click.echo(f"  job-runners cancel {' '.join(ids)}", err=True)


def _print_outcome(job: Job) -> None:
    """Print the result or the error, which the user would look up next."""
    if job.get("status") == "succeeded" and job.get("result") is not None:
        output.print_json(job["result"])
    if job.get("status") == "failed":
        error = job.get("error") or {}
        if sys.stdout.isatty():  # in a pipe, the job's line has the error already
            words = output.indented(f"{error.get('kind')}: {error.get('message')}", 2)
            click.secho(words, fg="red")
        short = output.short(job["id"])
        if error.get("traceback"):
            click.echo(f"Traceback: job-runners show {short} --traceback", err=True)
        click.echo(f"Log: job-runners logs {short}\nRetry: job-runners retry {short}", err=True)
