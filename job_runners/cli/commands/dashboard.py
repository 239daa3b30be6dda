"""job-runners dashboard: serve the dashboard on this machine, and sign its calls to the API."""

import time

import click

from job_runners.cli import options, output
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


@options.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to listen on (default: a free port)."
)
def command(target: Target, port: int | None) -> None:
    """Serve the stack's dashboard on this machine until Ctrl-C, and print its address.

    The dashboard has your credentials and a secret address: don't share the address."""
    from job_runners.cli.signing_proxy import signing_proxy

    target.api.job_types()  # shows a missing permission here instead of in the browser
    try:
        with signing_proxy(target.api_address, target.access, port or 0) as url:
            if target.json:
                output.print_json_line({"url": url})
            else:
                click.echo(
                    f"{url}\nThe dashboard of {target.name}. Open this address in your browser. "
                    "Press Ctrl-C to stop."
                )
            _wait_for_ctrl_c()
    except OSError as error:
        raise Problem(f"Can't use port {port}: {error.strerror}.") from None


def _wait_for_ctrl_c() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
