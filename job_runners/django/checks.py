"""Django's system checks of a backend. One checks its settings, and one the stack that it calls."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from job_runners import JobRunnersError, names
from job_runners.django.transports import OverHttp


def check_settings(backend: Any, known_options: Iterable[str]) -> Iterator[CheckMessage]:
    """Report errors in a backend's settings, without calling its API."""
    where = f"TASKS[{backend.alias!r}]"
    options = backend.settings
    for name in sorted(options.keys() - set(known_options)):
        hint = f"The options are {', '.join(known_options)}."
        yield Error(f"{where} has the unknown option {name!r}.", hint, id="job_runners.E001")
    try:
        _ = backend.transport  # creates the client, which needs the API's address
    except (JobRunnersError, TypeError, ValueError) as error:
        hint = "Set JOB_RUNNERS_URL, or OPTIONS['CLIENT'] to {'url': ...} or {'stack': ...}."
        yield Warning(f"{where} reaches no API: {error}", hint, id="job_runners.W002")
    for queue in sorted(_queue_names(backend)):
        if not names.is_name(queue):
            message = f"{where}: the name of a queue must be {names.RULE}, and {queue!r} isn't."
            hint = "Give the queue another name in the stack: OPTIONS['QUEUE_NAMES']."
            yield Error(message, hint, id="job_runners.E003")
    if options["ON_COMMIT"] not in (None, *settings.DATABASES):
        message = f"{where}: ON_COMMIT is {options['ON_COMMIT']!r}, which isn't in DATABASES."
        yield Error(message, id="job_runners.E004")
    for module in options["MODULES"]:
        if not _module_exists(module):
            message = f"{where}: MODULES has {module!r}, and there is no such module."
            yield Error(message, id="job_runners.E005")


def check_stack(backend: Any) -> Iterator[CheckMessage]:
    """Report what a backend's stack lacks. This calls the stack's API."""
    where = f"TASKS[{backend.alias!r}]"
    try:
        transport = backend.transport
        if not isinstance(transport, OverHttp):
            return
        job_types = {job_type["name"]: job_type for job_type in transport.client.job_types().jobs}
    except JobRunnersError as error:
        yield Warning(f"{where}: its stack can't be checked. {error}", id="job_runners.W101")
        return
    for name in sorted(backend.job_types):
        if name not in job_types:
            hint = f'Add JOBS = {{"{name}": django_task()}} to the package of jobs, and deploy it.'
            message = f"{where}: the stack has no job type {name!r}."
            yield Error(message, hint, id="job_runners.E102")
            continue
        allowed = {job_types[name]["queue_name"], *job_types[name]["queues"]}
        for queue in sorted(_queue_names(backend) - allowed):
            hint = f'Write django_task(queues=("{queue}",)), or remove the queue from the settings.'
            message = f"{where}: jobs of the type {name!r} don't use the queue {queue!r}."
            yield Error(message, hint, id="job_runners.E103")


def _queue_names(backend: Any) -> set[str]:
    """Return the names that the backend's queues have in the stack.

    The default queue of the job type isn't one of them.
    """
    new_names = backend.settings["QUEUE_NAMES"]
    priority_queues = backend.settings["PRIORITY_QUEUES"] or {}
    queues = {new_names.get(queue, queue) for queue in backend.queues - {"default"}}
    return {*queues, *new_names.values(), *priority_queues.values()}


def _module_exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # its parent package doesn't exist
        return False
