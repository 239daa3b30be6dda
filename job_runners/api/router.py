"""Route a request to its endpoint, return a response even after an error, and log the request."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from job_runners.api import access, problems
from job_runners.api.access import Event, Role
from job_runners.api.errors import MethodNotAllowed, PathNotFound
from job_runners.api.responses import Response
from job_runners.api.specification import Operation
from job_runners.engine.telemetry import tracing
from job_runners.engine.telemetry.log import caller_fields, logger
from job_runners.work import context

Endpoint = Callable[..., Response]

OPEN = None  # the role of routes without credentials, whose endpoints take no caller


class Route(NamedTuple):
    """One method of a path."""

    endpoint_name: str  # a module of routes/, and a function in it
    role: Role | None  # the lowest that may call it
    operation: Operation | None = None  # None if the OpenAPI document leaves the route out

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint. The first use of its module imports it."""
        module_name, _, function_name = self.endpoint_name.partition(".")
        module = import_module(f"job_runners.api.routes.{module_name}")
        endpoint: Endpoint = getattr(module, function_name)
        return endpoint


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
            endpoints = {method: _with_role_check(route) for method, route in methods.items()}
            log_name = path.translate(str.maketrans("<>", "{}"))
            self._routes.setdefault(len(parts), []).append((parts, log_name, endpoints))

    def answer(self, event: Event) -> dict[str, Any]:
        """Return the response to an event of an HTTP API, and log the request.

        Exceptions become responses. An unknown path is 404, and an unknown method of a path is 405.
        The endpoint isn't called if the caller's role is too low.
        """
        began_at = time.perf_counter()
        method = event["requestContext"]["http"]["method"]
        route = "none"
        try:
            route, endpoints, values = self._find(_path(event))
            if method not in endpoints:
                raise MethodNotAllowed(frozenset(endpoints))
            response = endpoints[method](event, **values)
        except Exception as error:  # noqa: BLE001 - the caller must get an answer to any error
            response = problems.problem_response(error)
        # Browsers must not guess another content type.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        milliseconds = (time.perf_counter() - began_at) * 1000
        _log_request(method, route, response.status_code, milliseconds)
        tracing.answered(method, route, response.status_code)
        return response.to_lambda()

    def _find(self, path: str) -> tuple[str, Mapping[str, Endpoint], dict[str, str]]:
        """Return the route of a path as the log shows it, its endpoints by method, and the values
        of its parameters. Raises PathNotFound."""
        path_parts = path.split("/")
        for parts, log_name, endpoints in self._routes.get(len(path_parts), ()):
            values = _path_values(parts, path_parts)
            if values is not None:
                return log_name, endpoints, values
        raise PathNotFound


def _log_request(method: str, route: str, status: int, milliseconds: float) -> None:
    """Log a request. `route` is the path with parameter names instead of ids.

    Bodies, query values and paths are not logged, because they are customers' data.
    """
    logger.info(
        "answered",
        extra={
            # The logger's own request_id may be gone, because jobs that run in this process replace
            # and remove it.
            "request_id": context.request_id.get(),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(milliseconds, 1),
            **caller_fields(),
        },
    )


def _path_values(route_parts: _Parts, path_parts: Sequence[str]) -> dict[str, str] | None:
    """Return the values of a route's parameters, by name, or None if the path doesn't match.

    The path has the same number of parts as the route.
    """
    values = {}
    for route_part, path_part in zip(route_parts, path_parts, strict=True):
        if route_part.startswith("<") and path_part:
            values[route_part[1:-1]] = path_part
        elif route_part != path_part:
            return None
    return values


@contextmanager
def request_context(event: Event) -> Iterator[None]:
    """In the with statement, add this request's id to everything that is logged and dispatched. At
    the end, reset the author and the caller."""
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


def _path(event: Event) -> str:
    """Return the path of a request without the stage, decoded once.

    A named stage is part of the path, unless a custom domain maps to the stage. API Gateway and SAM
    have already decoded the path: decoding it again would turn the name "a%41" into "aA". The local
    AWS leaves an encoded percent sign (%25) in the path.
    """
    path = event["rawPath"].replace("%25", "%")
    stage = event["requestContext"].get("stage")
    if path.startswith(f"/{stage}/"):
        path = path.removeprefix(f"/{stage}")
    decoded: str = path.encode(errors="replace").decode()  # replace half a surrogate pair with "?"
    return decoded


def _with_role_check(route: Route) -> Endpoint:
    """Return a function that checks the caller's role and then calls the route's endpoint."""
    min_role = route.role
    if min_role is OPEN:
        return lambda event, **path: route.endpoint(event, **path)

    def check_role(event: Event, **path: str) -> Response:
        caller = access.identify_caller(event)
        context.author.set(caller.author)
        access.require_role(caller, min_role)
        access.current_caller.set(caller)
        return route.endpoint(event, caller, **path)

    return check_role
