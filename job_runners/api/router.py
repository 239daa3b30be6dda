"""Route a request to its endpoint, answer in every case, and log the request with its id."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from job_runners.api import access, problems
from job_runners.api.access import Role
from job_runners.api.errors import MethodNotAllowed, PathNotFound
from job_runners.api.responses import Response
from job_runners.api.specification import Operation
from job_runners.engine.telemetry import tracing
from job_runners.engine.telemetry.log import caller_fields, logger
from job_runners.work import context

Endpoint = Callable[..., Response]

OPEN = None  # the role of open routes: their endpoints take no caller, and check no credentials


class Route(NamedTuple):
    """The endpoint for one method of a path, the lowest role that may call it, and its
    specification. `operation` is None if the OpenAPI document leaves the route out."""

    endpoint_name: str  # a module of routes/, and a function in it
    role: Role | None
    operation: Operation | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint. The first use of its module imports it."""
        module, _, function = self.endpoint_name.partition(".")
        found: Endpoint = getattr(import_module(f"job_runners.api.routes.{module}"), function)
        return found


Routes = Mapping[str, Mapping[str, Route]]  # by path, then by method

_Parts = Sequence[str]  # the parts of a path; a parameter is in < and >


class Router:
    """Finds the route of each request and calls its endpoint."""

    def __init__(self, routes: Routes) -> None:
        # Routes by the number of parts of their paths. Paths with parameters come last, so that
        # "failed" in /tasks/failed isn't taken for a parameter's value.
        self._routes: dict[int, list[tuple[_Parts, str, Mapping[str, Endpoint]]]] = {}
        for path, methods in sorted(routes.items(), key=lambda route: route[0].count("<")):
            parts = tuple(path.split("/"))
            endpoints = {method: _admitting(route) for method, route in methods.items()}
            logged_as = path.translate(str.maketrans("<>", "{}"))
            self._routes.setdefault(len(parts), []).append((parts, logged_as, endpoints))

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to an event of an HTTP API, and log the request.

        Exceptions become responses. An unknown path is 404, and an unknown method of a path is 405.
        The endpoint isn't called if the caller's role is too low.
        """
        began = time.perf_counter()
        method = event["requestContext"]["http"]["method"]
        route = "none"
        try:
            route, endpoints, values = self._found(_path(event))
            if method not in endpoints:
                raise MethodNotAllowed(frozenset(endpoints))
            response = endpoints[method](event, **values)
        except Exception as error:  # noqa: BLE001 - the caller must get an answer to any error
            response = problems.answer(error)
        # Browsers must not guess another content type.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        milliseconds = (time.perf_counter() - began) * 1000
        _log_answer(method, route, response.status_code, milliseconds)
        tracing.answered(method, route, response.status_code)
        return response.for_lambda()

    def _found(self, path: str) -> tuple[str, Mapping[str, Endpoint], dict[str, str]]:
        """Return the route of a path as the log shows it, its endpoints by method, and the values
        of its parameters. Raises PathNotFound."""
        given = path.split("/")
        for parts, logged_as, endpoints in self._routes.get(len(given), ()):
            values = _path_values(parts, given)
            if values is not None:
                return logged_as, endpoints, values
        raise PathNotFound


def _log_answer(method: str, route: str, status: int, milliseconds: float) -> None:
    """Log a request. `route` is the path with parameter names instead of ids.

    Bodies, query values and paths are not logged, because they are customers' data.
    """
    logger.info(
        "answered",
        extra={
            # The logger's own request_id may be gone: work that runs in this process replaces and
            # removes it.
            "request_id": context.request_id.get(),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(milliseconds, 1),
            **caller_fields(),
        },
    )


def _path_values(parts: _Parts, given: Sequence[str]) -> dict[str, str] | None:
    """Return the values of a route's parameters, by name, in a path with the same number of parts.

    Return None if the path doesn't match.
    """
    values = {}
    for part, each in zip(parts, given, strict=True):
        if part.startswith("<") and each:
            values[part[1:-1]] = each
        elif part != each:
            return None
    return values


@contextmanager
def about(event: Mapping[str, Any]) -> Iterator[None]:
    """In the block, give this request's id to everything that is logged and dispatched. At the end,
    reset the author and the caller."""
    request_id = event["requestContext"]["requestId"]
    token = context.request_id.set(request_id)
    author_token = context.author.set(None)
    caller_token = access.current_caller.set(access.NO_CALLER)
    logger.thread_safe_append_keys(request_id=request_id)
    try:
        yield
    finally:
        logger.thread_safe_remove_keys(["request_id"])
        access.current_caller.reset(caller_token)
        context.author.reset(author_token)
        context.request_id.reset(token)


def _path(event: Mapping[str, Any]) -> str:
    """Return the path of a request without the stage, decoded once.

    A named stage is part of the path, unless a custom domain maps to the stage. API Gateway and SAM
    have already decoded the path: decoding it again would turn the name "a%41" into "aA". The local
    AWS leaves an encoded percent sign (%25) in the path.
    """
    path, stage = event["rawPath"].replace("%25", "%"), event["requestContext"].get("stage")
    if path.startswith(f"/{stage}/"):
        path = path.removeprefix(f"/{stage}")
    decoded: str = path.encode(errors="replace").decode()  # replace half a surrogate pair with "?"
    return decoded


def _admitting(route: Route) -> Endpoint:
    """Return a function that checks the caller's role and then calls the route's endpoint."""
    lowest = route.role
    if lowest is OPEN:
        return lambda event, **path: route.endpoint(event, **path)

    def admit(event: Mapping[str, Any], **path: str) -> Response:
        caller = access.caller(event)
        context.author.set(caller.author)
        access.require(caller, lowest)
        access.current_caller.set(caller)
        return route.endpoint(event, caller, **path)

    return admit
