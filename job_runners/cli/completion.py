"""What Tab completes beside commands, options and states: the names that the stack knows."""

from collections.abc import Callable

import click

from job_runners.cli.target import Target

_PATIENCE = 3  # seconds that somebody waits for a Tab

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str) -> Complete:
    """Return the names of the stack's `jobs` or `tasks`."""

    def complete(ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
        target: Target = ctx.find_root().ensure_object(Target)
        target.patience = _PATIENCE
        try:
            types = target.api.types()
        except Exception:  # noqa: BLE001 - a Tab is no place to say what is wrong
            return []
        names = [each["name"] for kind in kinds for each in types[kind]]
        return [name for name in names if name.startswith(start)]

    return complete
