"""One request and its response: the id they go by, the line they leave, an answer in every case."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from api import access, log, problems
from api.access import Role
from api.errors import MethodNotAllowed, PathNotFound
from api.specification import Operation
from runners.telemetry import logger
from work import context

Endpoint = Callable[..., Response[str]]

OPEN = None  # to all: the endpoint is handed no caller, and its response holds no data


class Route(NamedTuple):
    """What answers a method of a path, the lowest role that may call it, and what the OpenAPI
    document says of it; None if that leaves it out."""

    endpoint: Endpoint
    role: Role | None
    operation: Operation | None = None


Routes = Mapping[str, Mapping[str, Route]]  # by path, then by method

# The methods that API Gateway's ANY lets through.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def resolver(routes: Routes) -> APIGatewayHttpResolver:
    """Return what finds a request's route, and calls its endpoint with the event, the caller and
    the names in the path. A caller of too low a role never gets as far as the endpoint.

    A path refuses the methods it does not have with 405; any other path is 404.
    """
    # Never Powertools' debug mode, which prints events and answers with tracebacks.
    app = APIGatewayHttpResolver(debug=False)
    for path, methods in routes.items():
        for method, route in methods.items():
            app.route(path, method=method)(_answering(app, path, _admitting(route)))
        others = sorted(_METHODS - methods.keys())
        app.route(path, method=others)(_answering(app, path, _refusing(frozenset(methods))))
    app.not_found(_answering(app, "none", _path_not_found))
    return app


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


def routable(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with its path as routes have it: without the stage, and encoded in one way.

    A named stage is part of the path, unless a domain of its own maps it; Powertools always takes
    off its length. Encoded, for the names in a path may have characters that its routes don't know.

    API Gateway has decoded the path, and SAM too: to decode it again would take the name "a%41" for
    "aA". The local AWS has left the percent sign's own encoding in it.
    """
    path, stage = event["rawPath"].replace("%25", "%"), event["requestContext"].get("stage")
    if path.startswith(f"/{stage}/"):
        path = path.removeprefix(f"/{stage}")
    return {
        **event,
        "rawPath": quote(path, errors="replace"),
        "requestContext": {**event["requestContext"], "stage": "$default"},
    }


def _answering(app: APIGatewayHttpResolver, route: str, function: Endpoint) -> Endpoint:
    """Return the function so that whatever it raises is answered, and each request is logged."""
    route = route.translate(str.maketrans("<>", "{}"))

    @wraps(function)
    def answering(*args: Any, **path: str) -> Response[str]:
        began = time.perf_counter()
        try:
            names = {name: unquote(value) for name, value in path.items()}
            response = function(app.current_event.raw_event, *args, **names)
        except Exception as error:  # noqa: BLE001 - the last one who can answer the caller
            response = problems.answer(error)
        # No browser may take an answer for another type than it says it is.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        milliseconds = (time.perf_counter() - began) * 1000
        log.answered(app.current_event.http_method, route, response.status_code, milliseconds)
        return response

    return answering


def _admitting(route: Route) -> Endpoint:
    """Return the route's endpoint, for callers who may call it."""
    if route.role is OPEN:
        return route.endpoint
    lowest = route.role

    @wraps(route.endpoint)
    def admit(event: Mapping[str, Any], **path: str) -> Response[str]:
        caller = access.caller(event)
        context.author.set(caller.author)
        access.require(caller, lowest)
        access.asking.set(caller)
        return route.endpoint(event, caller, **path)

    return admit


def _refusing(allowed: frozenset[str]) -> Endpoint:
    def refuse(_event: Mapping[str, Any], **_path: str) -> Response[str]:
        raise MethodNotAllowed(allowed)

    return refuse


def _path_not_found(_event: Mapping[str, Any], error: Exception) -> Response[str]:
    raise PathNotFound from error
