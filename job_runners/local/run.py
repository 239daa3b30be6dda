"""Run the project on a local AWS, and show what its jobs do until Ctrl-C.

Usage: python -m job_runners.local.run [--keep] [--quiet] [--listen ADDRESS] ...
"""

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    import socket

    from job_runners.local.screen import Steps

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WORKERS = 4
_IMPORT_SECONDS = 60.0


class Stopped(BaseException):
    """The user stopped this run with Ctrl-C, SIGTERM, or by closing the terminal."""


def main() -> int:
    """Run until stopped. Return the exit code."""
    for each in _END_SIGNALS:
        signal.signal(each, _stop)
    try:
        return _main()
    except Stopped:
        return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Ignore further signals, because a second Ctrl-C must not interrupt the cleanup.
    for each in _END_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


def _main() -> int:
    # Imported here so that a signal in the imports, which take a second, ends this process quietly.
    from job_runners.building import installed
    from job_runners.building.app_folder import UnusableAppFolder
    from job_runners.local.problem import LocalProblem
    from job_runners.local.screen import Steps, console

    given = _arguments()
    steps = Steps()
    if notice := installed.difference():
        console.print(notice, style="yellow", markup=False)
    try:
        _run(given, steps)
    except (LocalProblem, UnusableAppFolder) as problem:
        steps.end()
        console.print(str(problem), style="red", markup=False)
        return 1
    finally:
        steps.end()
    return 0


def _arguments() -> "argparse.Namespace":
    import argparse

    arguments = argparse.ArgumentParser(prog="python -m job_runners.local.run", description=__doc__)
    arguments.add_argument(
        "--keep", action="store_true", help="keep the data for the next run with --keep"
    )
    arguments.add_argument(
        "--quiet", action="store_true", help="of what jobs do, show only their failures"
    )
    arguments.add_argument(
        "--listen", metavar="ADDRESS", help="address of this machine that containers can reach"
    )
    arguments.add_argument(
        "--workers", type=int, default=_WORKERS, help="jobs and tasks that run at once (default 4)"
    )
    arguments.add_argument(
        "--processes",
        choices=("auto", "fork", "spawn"),
        default="auto",
        help="how processes of functions begin: as copies of a process that has imported your "
        "code, or with an import of their own (default: copies where that is safe)",
    )
    arguments.add_argument(
        "--import-seconds",
        type=float,
        default=_IMPORT_SECONDS,
        help="seconds that importing your code may take (default 60)",
    )
    arguments.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of the template, such as JwtIssuer, instead of the one in samconfig.toml",
    )
    return arguments.parse_args()


def _run(given: "argparse.Namespace", steps: "Steps") -> None:
    from job_runners.building.app_folder import find_app_folder
    from job_runners.building.work_parameters import work_parameters
    from job_runners.cli.target import configured_name
    from job_runners.local.containers import bridge_addresses
    from job_runners.local.credentials import Credentials
    from job_runners.local.function_settings import FunctionSettings
    from job_runners.local.run_folder import only_run
    from job_runners.places import ROOT

    parameters = work_parameters() | dict(each.split("=", 1) for each in given.parameter)
    addresses = [given.listen] if given.listen else bridge_addresses()
    app = find_app_folder()
    with only_run() as home:
        steps.begin("Importing your code")
        sockets = _bound(addresses)
        port = sockets[0].getsockname()[1]
        settings = FunctionSettings(configured_name() or "job-runners", port, parameters)
        credentials = Credentials.random()
        # The template process imports the code while this process imports moto.
        from job_runners.local.options import Options
        from job_runners.local.start import Start

        options = Options(
            keep=given.keep,
            workers=given.workers,
            creates=given.processes,
            import_seconds=given.import_seconds,
            addresses=tuple(addresses),
        )
        start = Start(settings, credentials, options, app.path if app else ROOT, home)
        first = start.template()
        import asyncio

        from job_runners.local.job_stream import JobStream
        from job_runners.local.screen import console
        from job_runners.local.supervisor import supervise

        stream = JobStream(console, quiet=given.quiet)
        asyncio.run(
            supervise(settings, credentials, options, start, first, sockets, home, stream, steps)
        )


def _bound(addresses: list[str]) -> "list[socket.socket]":
    """Return sockets on one port of loopback and of these addresses. Raises LocalProblem."""
    import socket

    from job_runners.local.problem import LocalProblem

    sockets: list[socket.socket] = []
    port = 0
    for address in ("127.0.0.1", *addresses):
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind((address, port))
        except OSError as error:
            raise LocalProblem(
                f"The local AWS can't listen on {address}: {error.strerror}. Pass an address of "
                "this machine to --listen, or leave it out."
            ) from None
        port = each.getsockname()[1]
        sockets.append(each)
    return sockets


if __name__ == "__main__":
    sys.exit(main())
