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

OPEN = None  # the role of a route that needs no credentials; its endpoint takes no caller


class Route(NamedTuple):
    """One method of a path."""

    endpoint_name: str  # a function in a module of routes/, such as "jobs.get_job"
    role: Role | None  # the lowest role that may call it, or OPEN
    operation: Operation | None = None  # None if the route isn't in the OpenAPI document

    @property
    def endpoint(self) -> Endpoint:
        """Import the endpoint's module, and return the endpoint."""
        module_name, _, function_name = self.endpoint_name.partition(".")
        module = import_module(f"job_runners.api.routes.{module_name}")
        endpoint: Endpoint = getattr(module, function_name)
        return endpoint


Routes = Mapping[str, Mapping[str, Route]]  # by path, then by method

_Parts = Sequence[str]  # the parts of a route's path; a parameter is in < and >


class Router:
    """Finds the route of each request and calls its endpoint."""

    def __init__(self, routes: Routes) -> None:
        # The paths by their number of parts. Paths with fewer parameters come first, so that
        # "failed" in /tasks/failed isn't taken for a parameter's value.
        self._paths: dict[int, list[tuple[_Parts, str, Mapping[str, Endpoint]]]] = {}
        for path in sorted(routes, key=lambda path: path.count("<")):
            parts = path.split("/")
            log_name = path.translate(str.maketrans("<>", "{}"))
            endpoints = {method: _with_role_check(route) for method, route in routes[path].items()}
            self._paths.setdefault(len(parts), []).append((parts, log_name, endpoints))

    def answer(self, event: Event) -> dict[str, Any]:
        """Return the response to an event of an HTTP API, and log the request.

        Errors become responses: 404 for an unknown path, 405 for an unknown method of a path, and
        403 if the caller's role is too low.
        """
        began_at = time.perf_counter()
        method = event["requestContext"]["http"]["method"]
        route = "none"
        try:
            route, endpoints, parameters = self._find(_request_path(event))
            if method not in endpoints:
                raise MethodNotAllowed(frozenset(endpoints))
            response = endpoints[method](event, **parameters)
        except Exception as error:  # noqa: BLE001 - the caller must get an answer to any error
            response = problems.problem_response(error)
        # This header keeps browsers from guessing another content type.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        milliseconds = (time.perf_counter() - began_at) * 1000
        _log_request(method, route, response.status_code, milliseconds)
        tracing.answered(method, route, response.status_code)
        return response.to_lambda()

    def _find(self, path: str) -> tuple[str, Mapping[str, Endpoint], dict[str, str]]:
        """Find the route of a path. Return its name in the log, such as /jobs/{job_id}, its
        endpoints by method, and the values of its parameters. Raises PathNotFound."""
        path_parts = path.split("/")
        for route_parts, log_name, endpoints in self._paths.get(len(path_parts), ()):
            parameters = _match_path(route_parts, path_parts)
            if parameters is not None:
                return log_name, endpoints, parameters
        raise PathNotFound


def _log_request(method: str, route: str, status: int, milliseconds: float) -> None:
    """Log a request. `route` is the path with the names of its parameters instead of their values.

    Bodies, query values and full paths aren't logged, because they are customers' data.
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


def _match_path(route_parts: _Parts, path_parts: Sequence[str]) -> dict[str, str] | None:
    """Return the values of a route's parameters by name, or None if the path doesn't match.

    The route and the path have the same number of parts.
    """
    parameters = {}
    for route_part, path_part in zip(route_parts, path_parts, strict=True):
        if route_part.startswith("<") and path_part:
            parameters[route_part[1:-1]] = path_part
        elif route_part != path_part:
            return None
    return parameters


@contextmanager
def request_context(event: Event) -> Iterator[None]:
    """While the block runs, log lines and dispatched jobs get the request's id.

    The block starts without an author and a caller, and at its end the earlier ones are restored.
    """
    request_id = event["requestContext"]["requestId"]
    request_id_token = context.request_id.set(request_id)
    author_token = context.author.set(None)
    caller_token = access.current_caller.set(access.NO_CALLER)
    logger.thread_safe_append_keys(request_id=request_id)
    try:
        yield
    finally:
        logger.thread_safe_remove_keys(["request_id"])
        access.current_caller.reset(caller_token)
        context.author.reset(author_token)
        context.request_id.reset(request_id_token)


def _request_path(event: Event) -> str:
    """Return the decoded path of a request without the stage.

    API Gateway and SAM have already decoded it. Decoding it again would turn the name "a%41" into
    "aA". Only the percent sign is decoded here, because the AWS that `job-runners run` emulates
    leaves it encoded.
    """
    path = event["rawPath"].replace("%25", "%")
    # A named stage is part of the path, unless a custom domain maps to the stage.
    stage = event["requestContext"].get("stage")
    if path.startswith(f"/{stage}/"):
        path = path.removeprefix(f"/{stage}")
    valid_path: str = path.encode(errors="replace").decode()  # half a surrogate pair becomes "?"
    return valid_path


def _with_role_check(route: Route) -> Endpoint:
    """Return a function that checks the caller's role and then calls the route's endpoint."""
    min_role = route.role
    if min_role is OPEN:
        return lambda event, **parameters: route.endpoint(event, **parameters)

    def checked_endpoint(event: Event, **parameters: str) -> Response:
        caller = access.identify_caller(event)
        context.author.set(caller.author)
        access.require_role(caller, min_role)
        access.current_caller.set(caller)
        return route.endpoint(event, caller, **parameters)

    return checked_endpoint
