"""Shell completion for the names of a stack's job types, tasks, schedules and webhooks."""

import re
from collections.abc import Callable
from itertools import islice

import click

from job_runners.cli.target import Target

_API_TIMEOUT = 3  # seconds, because the user waits for the completion
_MAX_SCHEDULES = 100

# Shells insert a completed name without quotes. So don't complete a name that contains, for
# example, `$(...)`, which the shell would run, or that begins with a hyphen, as options do.
_SAFE_NAME = re.compile(r"[\w.@:][\w.@:-]*")

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str) -> Completer:
    """Return a completer for the names of job types ("jobs"), tasks ("tasks") or both."""

    def get_names(target: Target) -> list[str]:
        types = target.api.job_types().raw
        return [entry["name"] for kind in kinds for entry in types[kind]]

    return _completer(get_names)


def _completer(get_names: Callable[[Target], list[str]]) -> Completer:
    def complete(ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
        target: Target = ctx.find_root().ensure_object(Target)
        target.api_timeout = _API_TIMEOUT
        try:
            names = get_names(target)
        except Exception:  # noqa: BLE001 - completion can't show an error
            return []
        return [name for name in names if _SAFE_NAME.fullmatch(name) and name.startswith(start)]

    return complete


schedule_names = _completer(
    lambda target: [schedule.name for schedule in islice(target.api.schedules(), _MAX_SCHEDULES)]
)
webhook_names = _completer(lambda target: [webhook.name for webhook in target.api.webhooks()])
