"""What Tab completes beside commands, options and states: the names that the stack knows."""

from collections.abc import Callable
from itertools import islice

import click

from job_runners.cli.target import Target

_PATIENCE = 3  # seconds that somebody waits for a Tab
_MOST = 100

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str) -> Complete:
    """Return the names of the stack's `jobs` or `tasks`."""

    def known(target: Target) -> list[str]:
        types = target.api.types()
        return [each["name"] for kind in kinds for each in types[kind]]

    return _completing(known)


def schedule_names() -> Complete:
    """Return the names of the organisation's schedules, the first of them."""
    return _completing(
        lambda target: [each["name"] for each in islice(target.api.schedules(), _MOST)]
    )


def _completing(known: Callable[[Target], list[str]]) -> Complete:
    def complete(ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
        target: Target = ctx.find_root().ensure_object(Target)
        target.patience = _PATIENCE
        try:
            names = known(target)
        except Exception:  # noqa: BLE001 - a Tab is no place to say what is wrong
            return []
        return [name for name in names if name.startswith(start)]

    return complete
