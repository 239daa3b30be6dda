"""Turn the API's error responses into exceptions. A problem is the JSON body of such a response."""

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

_BUSY = frozenset({429, 500, 502, 503, 504})

_HINTS = {
    "unknown-job-type": "List the types with Client.job_types() or `job-runners types`.",
    "unknown-task": "List the tasks with Client.job_types() or `job-runners types`.",
    "moved-meanwhile": "Fetch it again and retry.",
}
# The hints if API Gateway denied access, by the status and by whether the call had a token.
_DENIED = {
    (401, True): "The API refused this token. It may have expired, or have another issuer or "
    "audience. Pass a new one.",
    (401, False): "This API accepts tokens, not AWS signatures. Pass token= to the client, or "
    "--token @FILE to the command (or set JOBS_TOKEN).",
    (403, True): "This API may accept only signed calls, or the token's role may be too low.",
    (403, False): "The AWS credentials need execute-api:Invoke on the API, in the API's own "
    "region. Check whose they are with aws sts get-caller-identity.",
}
_OTHER_API = "Check that this is the API of a Job Runners stack, and that it has the same version."
_REDIRECT = (
    "The client sends no credentials to a redirect. If the API has moved, pass its new address: "
    "url= to the client, or --api-url to the command."
)
_MAX_WAIT = 86_400.0  # seconds; `time.sleep` refuses very large numbers
_MAX_EXCERPT = 200  # characters of another server's response in an error message


def _json_object(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one if its body isn't an object."""
    try:
        body = response.json
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def retry_after(response: Response) -> float | None:
    """Return the seconds to wait that the header Retry-After asks for, at most a day."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return min(float(value), _MAX_WAIT)
    return None


def error_of_response(url: str, response: Response, *, with_token: bool) -> ApiError:
    """Return the exception for a response that is an error, or isn't from a Job Runners API."""
    status = response.status
    body = _json_object(response)
    text = _describe(body) or f"{url} answered {status}: {_excerpt(response, body)}."
    if status < 400:
        hint = _OTHER_API
        location = response.headers.get("Location")
        if location:
            text = f"{url} answered with a redirect to {location}."
            hint = f"{_OTHER_API} {_REDIRECT}"
        return UnexpectedAnswer(text, hint, status=status, body=body, location=location)
    slug = _slug(body)
    hint = _HINTS.get(slug, "")
    wait = retry_after(response)
    error_class = _error_class(status, slug, body)
    if error_class is AccessDenied and "status" not in body:  # API Gateway gives no reason
        hint = _DENIED[(status, with_token)]
    elif error_class is UnexpectedAnswer:
        hint = _OTHER_API
    elif error_class is ApiBusy:
        hint = f"Try again in {wait:g} s." if wait else "Try again in a moment."
    return error_class(text, hint, status=status, body=body, retry_after=wait)


def error_of_job(problem: Mapping[str, Any]) -> ApiError:
    """Return the exception for the problem of one job in a request for many jobs."""
    status, slug = problem["status"], _slug(problem)
    error_class = _error_class(status, slug, problem)
    return error_class(_describe(problem), _HINTS.get(slug, ""), status=status, body=problem)


def _slug(body: Mapping[str, Any]) -> str:
    return str(body.get("type", "")).removeprefix("urn:job-runners:")


def _error_class(status: int, slug: str, body: Mapping[str, Any]) -> type[ApiError]:
    if slug in BY_SLUG:
        return BY_SLUG[slug]
    if status in (401, 403):
        return AccessDenied
    if status in _BUSY:
        return ApiBusy
    if "detail" not in body:
        return UnexpectedAnswer
    return Conflict if status == 409 else InvalidRequest


def _describe(body: Mapping[str, Any]) -> str:
    """Return the API's description of the problem, or "" if the response has none."""
    fields = [f"{entry['field']}: {entry['why']}" for entry in _invalid_fields(body)]
    if fields:
        return f"{body.get('title', 'Refused')}: {'; '.join(fields)}."
    return str(body.get("detail") or "")


def _invalid_fields(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the invalid fields of a request, as the API lists them."""
    entries = body.get("errors")
    if not isinstance(entries, list):
        return []
    return [
        entry for entry in entries if isinstance(entry, dict) and {"field", "why"} <= entry.keys()
    ]


def _excerpt(response: Response, body: Mapping[str, Any]) -> str:
    text = str(body.get("message") or response.text[:_MAX_EXCERPT] or "nothing")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.strip().rstrip(".")
