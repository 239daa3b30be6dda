"""One request and its response: the id they go by, the line they leave, an answer in every case."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

from api import access, log, problems
from api.access import Role
from api.errors import MethodNotAllowed, PathNotFound
from api.responses import Response
from api.specification import Operation
from runners import tracing
from runners.telemetry import logger
from work import context

Endpoint = Callable[..., Response]

OPEN = None  # to all: the endpoint is handed no caller, and its response holds no data


class Route(NamedTuple):
    """What answers a method of a path, the lowest role that may call it, and what the OpenAPI
    document says of it; None if that leaves it out."""

    endpoint: Endpoint
    role: Role | None
    operation: Operation | None = None


Routes = Mapping[str, Mapping[str, Route]]  # by path, then by method

_Parts = Sequence[str]  # of a path; a name is in < and >


class Router:
    """Finds the route of each request, and has it answered."""

    def __init__(self, routes: Routes) -> None:
        # By how many parts a path has. Parts that are names come last, so that /tasks/failed is
        # not taken for the task of that name.
        self._routes: dict[int, list[tuple[_Parts, str, Mapping[str, Endpoint]]]] = {}
        for path, methods in sorted(routes.items(), key=lambda route: route[0].count("<")):
            parts = tuple(path.split("/"))
            known = {method: _admitting(route) for method, route in methods.items()}
            named = path.translate(str.maketrans("<>", "{}"))
            self._routes.setdefault(len(parts), []).append((parts, named, known))

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to an event of an HTTP API. Whatever is raised on the way is in it,
        and each request is logged.

        A path refuses the methods it does not have with 405; any other path is 404. A caller of too
        low a role never gets as far as the endpoint.
        """
        began = time.perf_counter()
        method = event["requestContext"]["http"]["method"]
        route = "none"
        try:
            route, known, names = self._found(_path(event))
            if method not in known:
                raise MethodNotAllowed(frozenset(known))
            response = known[method](event, **names)
        except Exception as error:  # noqa: BLE001 - the last one who can answer the caller
            response = problems.answer(error)
        # No browser may take an answer for another type than it says it is.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        milliseconds = (time.perf_counter() - began) * 1000
        log.answered(method, route, response.status_code, milliseconds)
        tracing.answered(method, route, response.status_code)
        return response.for_lambda()

    def _found(self, path: str) -> tuple[str, Mapping[str, Endpoint], dict[str, str]]:
        """Return the route of a path, as it is logged, its methods, and the names in the path."""
        given = path.split("/")
        for parts, named, known in self._routes.get(len(given), ()):
            names = _names(parts, given)
            if names is not None:
                return named, known, names
        raise PathNotFound


def _names(parts: _Parts, given: Sequence[str]) -> dict[str, str] | None:
    """Return what a route's names stand for in a path of as many parts; None if it is another's."""
    names = {}
    for part, each in zip(parts, given, strict=True):
        if part.startswith("<") and each:
            names[part[1:-1]] = each
        elif part != each:
            return None
    return names


@contextmanager
def about(event: Mapping[str, Any]) -> Iterator[None]:
    """Give all that is dispatched or logged inside the id of this request, and its author once that
    is known."""
    request_id = event["requestContext"]["requestId"]
    token = context.request_id.set(request_id)
    nobody_yet, nobody_known = context.author.set(None), access.asking.set(access.NOBODY)
    logger.thread_safe_append_keys(request_id=request_id)
    try:
        yield
    finally:
        logger.thread_safe_remove_keys(["request_id"])
        access.asking.reset(nobody_known)
        context.author.reset(nobody_yet)
        context.request_id.reset(token)


def _path(event: Mapping[str, Any]) -> str:
    """Return the path of a request as routes have it: without the stage, and decoded once.

    A named stage is part of the path, unless a domain of its own maps it.

    API Gateway has decoded the path, and SAM too: to decode it again would take the name "a%41" for
    "aA". The local AWS has left the percent sign's own encoding in it.
    """
    path, stage = event["rawPath"].replace("%25", "%"), event["requestContext"].get("stage")
    if path.startswith(f"/{stage}/"):
        path = path.removeprefix(f"/{stage}")
    decoded: str = path.encode(errors="replace").decode()  # half a surrogate pair is no name
    return decoded


def _admitting(route: Route) -> Endpoint:
    """Return the route's endpoint, for callers who may call it."""
    if route.role is OPEN:
        return route.endpoint
    lowest = route.role

    @wraps(route.endpoint)
    def admit(event: Mapping[str, Any], **path: str) -> Response:
        caller = access.caller(event)
        context.author.set(caller.author)
        access.require(caller, lowest)
        access.asking.set(caller)
        return route.endpoint(event, caller, **path)

    return admit
