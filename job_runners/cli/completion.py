"""Complete the names of a stack's job types, tasks, schedules and webhooks on Tab."""

import re
from collections.abc import Callable
from itertools import islice

import click

from job_runners.cli.target import Target

_PATIENCE = 3  # seconds to wait for the API while the user waits for the completion
_MAX_SCHEDULES = 100

# Shells insert a completed name without quotes, so `$(...)` in a name would run on Enter. A name
# that begins with a hyphen would be an option.
_PLAIN = re.compile(r"[\w.@:][\w.@:-]*")

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str) -> Complete:
    """Return a function that completes names of the given kinds: `jobs`, `tasks` or both."""

    def get_names(target: Target) -> list[str]:
        types = target.api.job_types().raw
        return [each["name"] for kind in kinds for each in types[kind]]

    return _completing(get_names)


def schedule_names() -> Complete:
    """Return a function that completes names of the organization's first schedules."""
    return _completing(
        lambda target: [each.name for each in islice(target.api.schedules(), _MAX_SCHEDULES)]
    )


def webhook_names() -> Complete:
    """Return a function that completes names of the organization's webhooks."""
    return _completing(lambda target: [each.name for each in target.api.webhooks()])


def _completing(get_names: Callable[[Target], list[str]]) -> Complete:
    def complete(ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
        target: Target = ctx.find_root().ensure_object(Target)
        target.patience = _PATIENCE
        try:
            names = get_names(target)
        except Exception:  # noqa: BLE001 - a completion can't show an error
            return []
        return [name for name in names if _PLAIN.fullmatch(name) and name.startswith(start)]

    return complete
