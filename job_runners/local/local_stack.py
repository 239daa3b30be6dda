"""Run a local AWS with the real template deployed, in a with statement."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from job_runners.cli.stack import Stack
from job_runners.local.deploy import build, deploy
from job_runners.local.emulator import emulator
from job_runners.local.emulator_fixes import settle


def _say_nothing(step: str) -> None:
    pass


@contextlib.contextmanager
def local_stack(
    home: Path,
    parameters: Mapping[str, str] | None = None,
    say: Callable[[str], None] = _say_nothing,
    *,
    enforcing: bool = False,
    addresses: Sequence[str] = (),
    app_template: Path | None = None,
) -> Iterator[Stack]:
    """Start, build and deploy a local AWS, and stop it at the end. Every file is under `home`.

    `parameters` override the template's. `say` gets each step as it begins. With `enforcing`,
    functions are limited to the policies of their roles. The local AWS listens on loopback and on
    `addresses` of this machine. `app_template` is the app's template, which is deployed first.

    Raises LocalProblem.
    """
    say("Starting the local AWS")
    with emulator(home, enforcing=enforcing, addresses=addresses) as running:
        try:
            say("Building the functions for this machine")
            built = build(running, home)
            say(f"Deploying {'your template, then ' if app_template else ''}template.yaml")
            stack = deploy(running, home, built, parameters or {}, app_template)
            say("Checking that a failing invocation is tried once and recorded once")
            settle(stack)
            yield stack
        finally:
            say("Stopping the local AWS")
