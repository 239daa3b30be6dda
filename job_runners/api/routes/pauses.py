"""The endpoints of pauses: list, pause, resume."""

from typing import Any

from job_runners import runners
from job_runners.api import queue_views, requests
from job_runners.api.access import Caller, Event
from job_runners.api.errors import PathNotFound
from job_runners.api.responses import Response, no_content, respond
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.engine.wire.sending import require_sender
from job_runners.store import pauses, waiting
from job_runners.store.pauses import Kind, Pause


def list_paused(_event: Event, caller: Caller) -> Response:
    """List paused job types and queues. Only services see queues that the code doesn't use, because
    their names may belong to another organization."""
    queues_in_code = {job.queue_name for job in registry().jobs.values()}
    visible = [
        pause
        for pause in pauses.current(fresh=True).paused()
        if caller.is_service or pause.kind is Kind.JOB_TYPE or pause.name in queues_in_code
    ]
    return respond(200, {"paused": [_view(pause, caller) for pause in visible]})


def pause(_event: Event, caller: Caller, kind: str, name: str) -> Response:
    """Pause a job type or a queue."""
    checked_kind = _checked_kind(kind, name)
    # A runner without send() couldn't send the waiting jobs when the caller resumes the work.
    require_sender(runners.sender(), name, "can't be paused")
    return respond(200, _view(pausing.pause(checked_kind, name), caller))


def resume(_event: Event, _caller: Caller, kind: str, name: str) -> Response:
    """Resume a job type or a queue. Waiting jobs start in order."""
    checked_kind = _checked_kind(kind, name)
    send = require_sender(runners.sender(), name, "can't be resumed")
    pausing.resume(checked_kind, name, send)
    return no_content()


def _view(pause: Pause, caller: Caller) -> dict[str, Any]:
    """Return a pause as this caller may see it. Only services see the number of waiting jobs,
    because it includes jobs of all organizations."""
    count = waiting.count_under_pause(pause.sk) if caller.is_service else None
    return queue_views.pause_view(pause, count)


def _checked_kind(kind: str, name: str) -> Kind:
    """Return the kind in a pause's path. Raises PathNotFound for an unknown kind, and InvalidFields
    for an invalid queue name."""
    if kind not in list(Kind):
        raise PathNotFound
    if kind == Kind.QUEUE:
        requests.check_name(name)
    return Kind(kind)
