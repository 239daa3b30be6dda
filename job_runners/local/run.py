"""Run the project on a local AWS until Ctrl-C: python -m job_runners.local.run OPTIONS

OPTIONS is JSON: see options.py.
"""

import os
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
    """Run until a signal stops the process. Return the exit code."""
    for number in _END_SIGNALS:
        signal.signal(number, _stop)
    try:
        return _run_with_errors_shown()
    except Stopped:
        return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Ignore further signals, because a second Ctrl-C must not interrupt the cleanup.
    for number in _END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def _run_with_errors_shown() -> int:
    # Imported here, because these imports take a second, and `main` handles signals during them.
    from job_runners.building.app_folder import UnusableAppFolder
    from job_runners.local.job_stream import console
    from job_runners.local.options import LocalProblem, Options

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
    from job_runners.building.samconfig import work_parameters
    from job_runners.cli.target import configured_name
    from job_runners.local.function_settings import AppTemplate, FunctionSettings
    from job_runners.local.run_folder import Credentials, exclusive_folder, kept_port
    from job_runners.places import ROOT

    app = find_app_folder()
    with exclusive_folder() as home:
        status.start()
        sockets = _bind_sockets(options.listen, kept_port() if options.keep else 0)
        settings = FunctionSettings(
            name=configured_name() or "job-runners",
            port=sockets[0].getsockname()[1],
            parameters=work_parameters() | options.parameters,
            workers=app.workers if app else {},
        )
        app_template = None
        if app and app.template.exists():
            app_template = AppTemplate(app.template, settings)
            settings = app_template.add_outputs()
        credentials = Credentials.random()
        from job_runners.local.function_pools import template_launcher

        # Another process imports the project's code. Start it before the imports below, which take
        # a second too.
        launch_template = template_launcher(
            settings, credentials, options, app.path if app else ROOT, home
        )
        template_process = launch_template()
        import asyncio

        from job_runners.local.supervisor import Supervisor, supervise

        supervisor = Supervisor(settings, credentials, options, app_template)
        asyncio.run(supervise(supervisor, launch_template, template_process, sockets, home, status))


def _bind_sockets(listen: str | None, preferred_port: int) -> "list[socket.socket]":
    """Return sockets on the loopback address and on the address `listen`, with the same port.

    If `preferred_port` is 0 or in use, the system chooses the port. Raises LocalProblem.
    """
    import socket

    from job_runners.local.options import LocalProblem

    try:
        sockets = [socket.create_server(("127.0.0.1", preferred_port))]
    except OSError:
        # Only links in kept data need the preferred port.
        sockets = [socket.create_server(("127.0.0.1", 0))]
    port = sockets[0].getsockname()[1]
    if listen:
        try:
            sockets.append(socket.create_server((listen, port)))
        except OSError as error:
            raise LocalProblem(
                f"The local AWS can't listen on {listen}: {os.strerror(error.errno or 0)}. Pass "
                "an address of this machine to --listen, or leave it out."
            ) from None
    return sockets


if __name__ == "__main__":
    sys.exit(main())
