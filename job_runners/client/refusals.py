"""Turn error responses of the API into exceptions."""

from collections.abc import Mapping
from typing import Any

from job_runners.client.connections import Response
from job_runners.client.errors import (
    BY_SLUG,
    AccessDenied,
    ApiBusy,
    ApiError,
    Conflict,
    InvalidRequest,
    UnexpectedAnswer,
)

BUSY = frozenset({429, 500, 502, 503, 504})

_HINTS = {
    "unknown-job-type": "List the types with Client.job_types() or `job-runners types`.",
    "unknown-task": "List the tasks with Client.job_types() or `job-runners types`.",
    "moved-meanwhile": "Fetch it again and retry.",
}
# By status, and by whether the call had a token.
_DENIED = {
    (401, True): "The API refused this token. It may have expired, or have another issuer or "
    "audience. Pass a new one.",
    (401, False): "This API accepts tokens, not AWS signatures. Pass token= to the client, or "
    "--token @FILE to the command (or set JOBS_TOKEN).",
    (403, True): "This API may accept only signed calls, or the token's role may be too low.",
    (403, False): "The AWS credentials need execute-api:Invoke on the API, in the API's own "
    "region. Check whose they are with aws sts get-caller-identity.",
}
_NOT_OURS = "Check that this is the API of a Job Runners stack, and that it has the same version."
_REDIRECT = (
    "The client sends no credentials to a redirect. If the API has moved, pass its new address: "
    "url= to the client, or --api-url to the command."
)
_MAX_WAIT = 86_400.0  # seconds
_MAX_EXCERPT = 200  # characters of another server's body that a message shows


def problem_of(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one if its body isn't an object."""
    try:
        body = response.json
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def retry_after(response: Response) -> float | None:
    """Return the seconds to wait that the header Retry-After asks for, at most a day.

    The limit is needed because `time.sleep` refuses very large numbers.
    """
    value = response.headers.get("Retry-After", "")
    if not (value.isascii() and value.isdecimal()):
        return None
    return min(float(value), _MAX_WAIT)


def refusal(url: str, response: Response, *, with_token: bool) -> ApiError:
    """Return the exception for an error response or an unexpected one."""
    body, status, wait = problem_of(response), response.status, retry_after(response)
    slug = str(body.get("type", "")).removeprefix("urn:job-runners:")
    text = summary(body) or f"{url} answered {status}: {_excerpt(response, body)}."
    if status < 400:
        location = response.headers.get("Location")
        text = f"{url} answered with a redirect to {location}." if location else text
        hint = f"{_NOT_OURS} {_REDIRECT}" if location else _NOT_OURS
        return UnexpectedAnswer(text, hint, status=status, body=body, location=location)
    error_class, hint = _error_class(status, slug, body), _HINTS.get(slug, "")
    if error_class is AccessDenied and "status" not in body:  # API Gateway gives no reason
        hint = _DENIED[(status, with_token)]
    elif error_class is UnexpectedAnswer:
        hint = _NOT_OURS
    elif error_class is ApiBusy:
        hint = f"Try again in {wait:g} s." if wait else "Try again in a moment."
    return error_class(text, hint, status=status, body=body, retry_after=wait)


def refusal_of(problem: Mapping[str, Any]) -> ApiError:
    """Return the exception for the problem of one job in a request for many jobs."""
    slug = str(problem.get("type", "")).removeprefix("urn:job-runners:")
    error_class = _error_class(problem["status"], slug, problem)
    return error_class(
        summary(problem), _HINTS.get(slug, ""), status=problem["status"], body=problem
    )


def _error_class(status: int, slug: str, body: Mapping[str, Any]) -> type[ApiError]:
    if slug in BY_SLUG:
        return BY_SLUG[slug]
    if status in (401, 403):
        return AccessDenied
    if status in BUSY:
        return ApiBusy
    if "detail" not in body:
        return UnexpectedAnswer
    return Conflict if status == 409 else InvalidRequest


def summary(body: Mapping[str, Any]) -> str:
    """Return the API's description of the problem, or "" if another server responded."""
    fields = [f"{entry['field']}: {entry['why']}" for entry in wrong_fields(body)]
    if fields:
        return f"{body.get('title', 'Refused')}: {'; '.join(fields)}."
    return str(body.get("detail") or "")


def wrong_fields(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the invalid fields of a request, as the API lists them."""
    entries = body.get("errors")
    if not isinstance(entries, list):
        return []
    return [
        entry for entry in entries if isinstance(entry, dict) and {"field", "why"} <= entry.keys()
    ]


def _excerpt(response: Response, body: Mapping[str, Any]) -> str:
    text = str(body.get("message") or response.text[:_MAX_EXCERPT] or "nothing")
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.strip().rstrip(".")
