"""Django's system checks of a backend: of its settings, and of the stack that it calls."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from job_runners import JobRunnersError, names
from job_runners.django.transports import OverHttp


def check_settings(backend: Any, known: Iterable[str]) -> Iterator[CheckMessage]:
    """Yield what is wrong with a backend's settings, without a call."""
    place, options = f"TASKS[{backend.alias!r}]", backend.settings
    for name in sorted(options.keys() - set(known)):
        hint = f"The options are {', '.join(known)}."
        yield Error(f"{place} has the unknown option {name!r}.", hint, id="job_runners.E001")
    try:
        _ = backend.transport
    except (JobRunnersError, TypeError, ValueError) as error:
        hint = "Set JOB_RUNNERS_URL, or OPTIONS['CLIENT'] to {'url': ...} or {'stack': ...}."
        yield Warning(f"{place} reaches no API: {error}", hint, id="job_runners.W002")
    for queue in sorted(_queues(backend)):
        if not names.is_name(queue):
            message = f"{place}: the name of a queue must be {names.RULE}, and {queue!r} isn't."
            hint = "Give the queue another name in the stack: OPTIONS['QUEUE_NAMES']."
            yield Error(message, hint, id="job_runners.E003")
    if options["ON_COMMIT"] not in (None, *settings.DATABASES):
        message = f"{place}: ON_COMMIT is {options['ON_COMMIT']!r}, which isn't in DATABASES."
        yield Error(message, id="job_runners.E004")
    for module in options["MODULES"]:
        if not _exists(module):
            message = f"{place}: MODULES has {module!r}, and there is no such module."
            yield Error(message, id="job_runners.E005")


def check_stack(backend: Any) -> Iterator[CheckMessage]:
    """Yield what a backend's stack lacks. This calls its API."""
    place = f"TASKS[{backend.alias!r}]"
    try:
        transport = backend.transport
        if not isinstance(transport, OverHttp):
            return
        types = {job_type["name"]: job_type for job_type in transport.client.job_types().jobs}
    except JobRunnersError as error:
        yield Warning(f"{place}: its stack can't be checked. {error}", id="job_runners.W101")
        return
    for name in sorted(backend.job_types):
        if name not in types:
            hint = f'Add JOBS = {{"{name}": django_task()}} to the package of jobs, and deploy it.'
            message = f"{place}: the stack has no job type {name!r}."
            yield Error(message, hint, id="job_runners.E102")
            continue
        allowed = {types[name]["queue_name"], *types[name]["queues"]}
        for queue in sorted(_queues(backend) - allowed):
            hint = f'Write django_task(queues=("{queue}",)), or remove the queue from the settings.'
            message = f"{place}: jobs of the type {name!r} don't use the queue {queue!r}."
            yield Error(message, hint, id="job_runners.E103")


def _queues(backend: Any) -> set[str]:
    """Return the stack's names of the backend's queues, except the job type's default queue."""
    new_names = backend.settings["QUEUE_NAMES"]
    queues = {new_names.get(queue, queue) for queue in backend.queues - {"default"}}
    return queues | {*new_names.values(), *(backend.settings["PRIORITY_QUEUES"] or {}).values()}


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # the parent doesn't exist
        return False
