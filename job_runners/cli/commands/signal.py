"""job-runners signal: send a job the signal that it waits for."""

import json

import click

from job_runners.cli import options, output
from job_runners.cli.for_each_job import for_each_job
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@options.command()
@click.argument("job_id")
@click.argument("name")
@click.argument("value", default="null")
def command(target: Target, job_id: str, name: str, value: str) -> Exit:
    """Send a signal to a job, such as an approval that its function waits for. VALUE is JSON
    (default null). The first value of a NAME counts."""
    try:
        parsed_value = json.loads(value)
    except ValueError as error:
        raise click.UsageError(
            f"VALUE isn't JSON: {error}. Quote text twice, such as '\"yes\"'."
        ) from None

    def signal(work_id: str) -> tuple[dict[str, object], str]:
        job = target.printable(target.api.signal(work_id, name, parsed_value))
        return job, output.colored_status(job["status"])

    return for_each_job(target, [job_id], signal)
