"""job-runners dashboard: serve the dashboard on this machine, and sign its calls."""

import time
from contextlib import nullcontext

import click

from job_runners.cli import options, output
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


@options.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to listen on (default: a free port)."
)
@click.option(
    "--browser/--no-browser",
    default=True,
    help="Open the browser (default) or only print the address.",
)
def command(target: Target, port: int | None, browser: bool) -> None:
    """Open the stack's dashboard in your browser until Ctrl-C.

    A server on this machine shows the dashboard at a secret address, with your credentials: don't
    share the address. The command opens a local file that links to the address. If your browser
    can't read that file, open the address yourself."""
    from job_runners.cli.opening import opened
    from job_runners.cli.signing_proxy import signing_proxy

    target.api.job_types()  # fails here, not in the page, if the API can't be used
    try:
        with signing_proxy(target.api_address, target.access, port or 0) as url:
            if target.json:
                output.print_json_line({"url": url})
            else:
                click.echo(f"{url}\nDashboard of {target.name}. Press Ctrl-C to stop it.")
            with opened(url) if browser else nullcontext():
                _until_stopped()
    except OSError as taken:
        raise Problem(f"Can't use port {port}: {taken.strerror}.") from None


def _until_stopped() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
