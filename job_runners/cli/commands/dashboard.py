"""jobs dashboard: the page, served on this machine, its calls signed."""

import time
from contextlib import nullcontext

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


@jobs_command()
@click.option("--port", type=click.IntRange(1, 65535), help="On this port; else on a free one.")
@click.option("--browser/--no-browser", default=True, help="Whether to open it.")
def command(target: Target, port: int | None, browser: bool) -> None:
    """Open the dashboard of the stack in your browser, until Ctrl-C. It is served on this machine
    alone and acts with your credentials, at an address that nobody can guess: don't pass it on. If
    your browser can't read the file that leads there, open the address yourself."""
    from job_runners.cli.opening import opened
    from job_runners.cli.signing_proxy import signing_proxy

    target.api.types()  # says what is wrong now, and not in the page
    try:
        with signing_proxy(target.api_address, target.access, port or 0) as url:
            if target.json:
                output.print_json_line({"url": url})
            else:
                click.echo(f"{url}\nThe dashboard of {target.name}. Ctrl-C stops it.")
            with opened(url) if browser else nullcontext():
                _until_stopped()
    except OSError as taken:
        raise Problem(f"Port {port} can't be used: {taken.strerror}.") from None


def _until_stopped() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
