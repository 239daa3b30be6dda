"""make run and make demo: start a local AWS, and run the demonstration up to its export.

While it stays up, it shows what jobs do.

Usage: python -m job_runners.local.run [--demo | --campaign | --empty] [--keep] [--quiet]
           [--listen ADDRESS]
"""

import argparse
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from job_runners.building import installed
from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.deploy import app_template
from job_runners.building.environments import ToolsNotInstalled, make_tools
from job_runners.building.work_parameters import work_parameters
from job_runners.cli.signing_proxy import signing_proxy
from job_runners.cli.stack import Stack
from job_runners.local.containers import bridge_addresses
from job_runners.local.demo import run_import, upload_few, upload_sample
from job_runners.local.deploy import BUILT
from job_runners.local.function_lines import LINES_FILE
from job_runners.local.job_stream import JobStream, following
from job_runners.local.kept import Kept
from job_runners.local.local_stack import local_stack
from job_runners.local.pipeline import run_pipeline
from job_runners.local.problem import LocalProblem
from job_runners.local.run_folder import KEPT, announced, only_run
from job_runners.local.sample import ROWS
from job_runners.local.screen import (
    Steps,
    console,
    import_bar,
    show_kept,
    show_outcome,
    show_size,
    suggest,
)
from job_runners.local.stack_api import signer
from job_runners.local.timer import tick
from job_runners.local.watcher import sources_now, watching
from job_runners.places import COMMAND

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The user stopped this run with Ctrl-C, SIGTERM, or by closing the terminal."""


def main() -> int:
    """Run until stopped, or with --demo until the export has ended. Return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m job_runners.local.run", description=__doc__)
    mode = arguments.add_mutually_exclusive_group()
    mode.add_argument("--demo", action="store_true", help="stop after the export")
    mode.add_argument(
        "--campaign", action="store_true", help="deploy the texting campaign in any case"
    )
    mode.add_argument("--empty", action="store_true", help="start without the demonstration")
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
        demonstrate = not given.empty and (kept is None or kept.is_empty)
        parameters = work_parameters() | ({"TextingCampaign": "true"} if given.campaign else {})
        stream = JobStream(console, quiet=given.quiet)
        return _run(
            steps, stream, addresses, kept, parameters, demonstrate=demonstrate, stay=not given.demo
        )
    except (LocalProblem, ToolsNotInstalled, UnusableAppFolder) as problem:
        steps.end()
        console.print(str(problem), style="red", markup=False)
        return 1
    except Stopped:
        return 130 if given.demo else 0
    finally:
        steps.end()


def _run(
    steps: Steps,
    stream: JobStream,
    addresses: list[str],
    kept: Kept | None,
    parameters: dict[str, str],
    *,
    demonstrate: bool,
    stay: bool,
) -> int:
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
            with watching(stack, home, sources, stream.note) if stay else nullcontext():
                # Only `make demo` reports that there is no texting campaign to demonstrate.
                demonstrate = demonstrate and (stack.has_texting_campaign or not stay)
                outcome = _demonstrate(stack, home, steps) if demonstrate else None
                if stay:
                    job_id = outcome.job_id if outcome else None
                    _stay_up(stack, home, stream, job_id, addresses, keeps=kept is not None)
            return 0 if outcome is None or outcome.right else 1


def _stay_up(
    stack: Stack,
    home: Path,
    stream: JobStream,
    job_id: str | None,
    addresses: list[str],
    *,
    keeps: bool,
) -> NoReturn:
    with (
        signing_proxy(stack.api_url, signer(stack)) as dashboard,
        following(home / LINES_FILE, stream),
    ):
        suggest(stack, job_id, dashboard, addresses, keeps=keeps)
        _wait_until_stopped()


class _Outcome(NamedTuple):
    """The outcome of the demonstration."""

    job_id: str
    right: bool


def _demonstrate(stack: Stack, home: Path, steps: Steps) -> _Outcome:
    if not stack.has_texting_campaign:
        raise LocalProblem(
            "This stack has no texting campaign to demonstrate (TextingCampaign=false). Use "
            f"`{COMMAND} run`, which starts without the demonstration."
        )
    steps.begin(f"Uploading {ROWS:,} contacts")
    expected = upload_sample(stack, home)
    upload_few(stack)
    steps.end()
    with import_bar() as bar:
        imported = run_import(stack, expected, bar.show)
    checks = imported.checks
    if not imported.differences:
        checks += run_pipeline(stack, expected.imported, steps.begin)
        steps.end()
    show_outcome(imported, checks)
    right = not imported.differences and all(check.right for check in checks)
    return _Outcome(imported.job["id"], right)


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
