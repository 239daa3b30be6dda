"""job-runners watch: follow jobs until they finish."""

import click

from job_runners.cli import options, times
from job_runners.cli.finding import find_job
from job_runners.cli.polling import watch_jobs
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
    callback=times.parse_time_span,
    help="Time to wait before giving up, such as 90s or 15m (default: no limit).",
)
def command(target: Target, job_ids: tuple[str, ...], timeout: float | None) -> Exit:
    """Follow jobs until they finish.

    Prints a line for each change, or a JSON object with --json. At the end, prints the result of
    one succeeded job. Polls as often as the API suggests. Ctrl-C stops watching, not the jobs."""
    return watch_jobs(target, [find_job(target, job_id) for job_id in job_ids], timeout)
