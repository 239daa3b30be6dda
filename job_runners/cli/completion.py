"""Complete the names of a stack's job types, tasks, schedules and webhooks on Tab."""

import re
from collections.abc import Callable
from itertools import islice

import click

from job_runners.cli.target import Target

_API_TIMEOUT = 3  # seconds, because the user waits for the completion
_MAX_SCHEDULES = 100

# Only these names are completed. Shells insert a name without quotes, so `$(...)` in a name would
# run on Enter, and a name that begins with a hyphen would be an option.
_SAFE_NAME = re.compile(r"[\w.@:][\w.@:-]*")

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(*kinds: str) -> Completer:
    """Return a function that completes names of the given kinds: `jobs`, `tasks` or both."""

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
        except Exception:  # noqa: BLE001 - a completion can't show an error
            return []
        return [name for name in names if _SAFE_NAME.fullmatch(name) and name.startswith(start)]

    return complete


# These complete the names of the organization's first schedules, and of its webhooks.
schedule_names = _completer(
    lambda target: [schedule.name for schedule in islice(target.api.schedules(), _MAX_SCHEDULES)]
)
webhook_names = _completer(lambda target: [webhook.name for webhook in target.api.webhooks()])
