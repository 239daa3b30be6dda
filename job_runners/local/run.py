"""Run the project on a local AWS until Ctrl-C: python -m job_runners.local.run OPTIONS

OPTIONS is JSON: see options.py.
"""

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from rich.status import Status

    from job_runners.local.options import Options

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    from job_runners.building.app_folder import UnusableAppFolder
    from job_runners.local.options import Options
    from job_runners.local.problem import LocalProblem
    from job_runners.local.screen import console

    status = console.status("Importing your code")
    try:
        _run(Options.read(sys.argv[1]), status)
    except (LocalProblem, UnusableAppFolder) as problem:
        status.stop()
        console.print(str(problem), style="red", markup=False)
        return 1
    finally:
        status.stop()
    return 0


def _run(options: "Options", status: "Status") -> None:
    from job_runners.building.app_folder import find_app_folder
    from job_runners.building.work_parameters import work_parameters
    from job_runners.cli.target import configured_name
    from job_runners.local.containers import bridge_addresses
    from job_runners.local.credentials import Credentials
    from job_runners.local.function_settings import FunctionSettings
    from job_runners.local.run_folder import kept_port, only_run
    from job_runners.places import ROOT

    addresses = [options.listen] if options.listen else bridge_addresses()
    app = find_app_folder()
    with only_run() as home:
        status.start()
        sockets = _bound(addresses, kept_port() if options.keep else 0)
        port = sockets[0].getsockname()[1]
        parameters = work_parameters() | options.parameters
        name, workers = configured_name() or "job-runners", app.workers if app else {}
        settings = FunctionSettings(name, port, parameters, workers)
        own = None
        if app and app.template.exists():
            from job_runners.local.own_template import OwnTemplate

            own = OwnTemplate(app.template, settings)
            settings = own.hand_over()
        credentials = Credentials.random()
        # The template process imports the code while this process imports moto.
        from job_runners.local.start import Start

        start = Start(settings, credentials, options, app.path if app else ROOT, home)
        first = start.template()
        import asyncio

        from job_runners.local.supervisor import Supervisor, supervise

        supervisor = Supervisor(settings, credentials, options, addresses, own)
        asyncio.run(supervise(supervisor, start, first, sockets, home, status))


def _bound(addresses: list[str], port: int) -> "list[socket.socket]":
    """Return sockets on one port of loopback and of these addresses. Raises LocalProblem.

    The port is this one, unless it is 0 or another program uses it.
    """
    import socket

    from job_runners.local.problem import LocalProblem

    sockets: list[socket.socket] = []
    for address in ("127.0.0.1", *addresses):
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            try:
                each.bind((address, port))
            except OSError:
                if sockets or not port:
                    raise
                each.bind((address, 0))  # only old links need the port of the kept data
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
