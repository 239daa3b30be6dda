"""Run the emulator with the real template deployed, in a with statement."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from emulated_aws.deploy import build, deploy
from emulated_aws.emulator import emulator
from emulated_aws.emulator_fixes import settle
from job_runners.cli.stack import Stack


@contextlib.contextmanager
def local_stack(
    home: Path,
    parameters: Mapping[str, str] | None = None,
    *,
    enforcing: bool = False,
    addresses: Sequence[str] = (),
    app_template: Path | None = None,
) -> Iterator[Stack]:
    """Start an emulator, build, and deploy to it. Stop it at the end. Every file is under `home`.

    `parameters` override the template's. With `enforcing`, functions are limited to the policies of
    their roles. The emulator listens on loopback and on `addresses` of this machine. `app_template`
    is the app's template, which is deployed first.

    Raises LocalProblem.
    """
    with emulator(home, enforcing=enforcing, addresses=addresses) as running:
        built = build(running, home)
        stack = deploy(running, home, built, parameters or {}, app_template)
        settle(stack)
        yield stack
