"""Start a local AWS, deploy the project to it, and show what its jobs do until Ctrl-C.

Usage: python -m job_runners.local.run [--keep] [--quiet] [--listen ADDRESS]
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from job_runners.building import installed
from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.deploy import app_template
from job_runners.building.environments import ToolsNotInstalled, make_tools
from job_runners.building.work_parameters import work_parameters
from job_runners.cli.signing_proxy import signing_proxy
from job_runners.cli.stack import Stack
from job_runners.local.containers import bridge_addresses
from job_runners.local.deploy import BUILT
from job_runners.local.function_lines import LINES_FILE
from job_runners.local.job_stream import JobStream, following
from job_runners.local.kept import Kept
from job_runners.local.local_stack import local_stack
from job_runners.local.problem import LocalProblem
from job_runners.local.run_folder import KEPT, announced, only_run
from job_runners.local.screen import Steps, console, show_kept, show_size, suggest
from job_runners.local.stack_api import signer
from job_runners.local.timer import tick
from job_runners.local.watcher import sources_now, watching

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The user stopped this run with Ctrl-C, SIGTERM, or by closing the terminal."""


def main() -> int:
    """Run until stopped. Return the exit code."""
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
    given = arguments.parse_args()
    steps = Steps()
    if notice := installed.difference():
        console.print(notice, style="yellow", markup=False)
    try:
        make_tools()
        for each in _END_SIGNALS:
            signal.signal(each, _stop)
        addresses = [given.listen] if given.listen else bridge_addresses()
        kept = Kept(KEPT) if given.keep else None
        stream = JobStream(console, quiet=given.quiet)
        _run(steps, stream, addresses, kept, work_parameters())
    except (LocalProblem, ToolsNotInstalled, UnusableAppFolder) as problem:
        steps.end()
        console.print(str(problem), style="red", markup=False)
        return 1
    except Stopped:
        return 0
    finally:
        steps.end()


def _run(
    steps: Steps,
    stream: JobStream,
    addresses: list[str],
    kept: Kept | None,
    parameters: dict[str, str],
) -> NoReturn:
    sources = sources_now()  # read before the build, so that a save during the build is noticed
    if kept:
        show_kept(kept)
    with only_run() as home:
        (home / LINES_FILE).touch()  # so that ministack writes the lines of functions to it
        with (
            local_stack(
                home,
                parameters,
                say=steps.begin,
                addresses=addresses,
                app_template=app_template(),
                kept=kept,
            ) as stack,
            announced(stack, home),
        ):
            steps.end()
            tick(stack)
            show_size(home / BUILT)
            with watching(stack, home, sources, stream.note):
                _stay_up(stack, home, stream, addresses, keeps=kept is not None)


def _stay_up(
    stack: Stack,
    home: Path,
    stream: JobStream,
    addresses: list[str],
    *,
    keeps: bool,
) -> NoReturn:
    with (
        signing_proxy(stack.api_url, signer(stack)) as dashboard,
        following(home / LINES_FILE, stream),
    ):
        suggest(stack, dashboard, addresses, keeps=keeps)
        _wait_until_stopped()


def _wait_until_stopped() -> NoReturn:
    parent = os.getppid()
    # If the parent of a child of `make` changes, `make` was killed, and no Ctrl-C can reach this
    # process. Another parent is a shell, which may end before this process.
    while "MAKELEVEL" not in os.environ or os.getppid() == parent:
        time.sleep(0.5)
    raise Stopped


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Ignore further signals, because a second Ctrl-C must not interrupt the cleanup.
    for each in _END_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
