"""job-runners upload: store a file in the stack's bucket for a job to read."""

from pathlib import Path

import click

from job_runners.cli import options, output
from job_runners.cli.target import Target
from job_runners.cli.uploading import upload


@options.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name below the organization's folder (default: the file's own).")
def command(target: Target, file: Path, name: str | None) -> None:
    """Upload FILE for the organization's jobs, and print its key, which a payload can name. An
    existing file of the same name is replaced.

    \b
    job-runners dispatch resize_image key="$(job-runners upload cat.png)"
    """
    with file.open("rb") as content:
        key = upload(
            target, content, name or file.name, why="The file goes into the stack's bucket."
        )
    if target.json:
        output.print_json({"key": key})
    else:
        click.echo(key)
