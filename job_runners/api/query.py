"""Read and check the parameters in the query strings of requests.

A parameter is declared once, in `specification`. The OpenAPI document shows this declaration, and
this module checks values against it.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from job_runners import clock, names
from job_runners.api.access import Caller, Event
from job_runners.api.errors import InvalidQuery
from job_runners.api.json_schema import TIME, Schema
from job_runners.api.specification import (
    DEFAULT_LIMIT,
    JOB_LIST_PARAMETERS,
    MEMBER_PARAMETERS,
    ORGANIZATION,
    ORGANIZATION_OR_ALL,
    ORGANIZATION_PARAMETER,
    PAGE_PARAMETERS,
    WITH_MEMBERS,
)
from job_runners.engine.control import positions
from job_runners.store.job_request import JobRequest, Status

_IDEMPOTENCY_KEY = "idempotency_key"
_MAX_CHARACTERS = 256  # of a value, unless its schema has another limit


class ListQuery(NamedTuple):
    """The checked parameters of a list of jobs."""

    organization_id: str | None = None
    status: Status | None = None
    job_type: str | None = None
    queue_name: str | None = None
    waits_for: str | None = None  # a `kind` of `positions.WaitReason`
    search: str | None = None
    since: int = 0  # milliseconds since 1970
    until: int | None = None
    error_group: str | None = None  # the id of an error group; its jobs all have failed
    idempotency_key: str | None = None  # can be combined only with organization_id
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None

    def matches(self, row: JobRequest) -> bool:
        """Return whether a job matches `job_type`, `queue_name`, `waits_for` and `search`. This
        doesn't check the other parameters."""
        if self.job_type not in (None, row.job_type):
            return False
        if self.queue_name not in (None, row.queue_name):
            return False
        if self.waits_for is not None:
            reason = positions.wait_reason(row)
            if reason is None or reason.kind != self.waits_for:
                return False
        return self.search is None or _has_prefix(row, self.search.casefold())


def _has_prefix(row: JobRequest, prefix: str) -> bool:
    """Return whether a job's id, message or error starts with this casefolded text.

    An error may start with its kind ("ValueError: bad"), or directly with its message ("bad").
    """
    error = row.error or {}
    kind = str(error.get("kind", ""))
    message = str(error.get("message", ""))
    texts = (row.id, row.result_message or "", f"{kind}: {message}", message)
    return any(text.casefold().startswith(prefix) for text in texts)


class PageQuery(NamedTuple):
    """The checked parameters of one page of a list."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def page_query(event: Event) -> PageQuery:
    """Return the checked parameters of a request for a page. Raises InvalidQuery."""
    return PageQuery(**_read_parameters(event, PAGE_PARAMETERS))


def members_query(event: Event) -> tuple[str | None, PageQuery]:
    """Return the outcome and the page of a request for members. Raises InvalidQuery."""
    parameters = _read_parameters(event, MEMBER_PARAMETERS)
    return parameters.pop("status", None), PageQuery(**parameters)


def includes_members(event: Event) -> bool:
    """Return whether a request applies to a job's members too. Raises InvalidQuery."""
    return _read_parameters(event, WITH_MEMBERS).get("members") == "true"


def organization_query(event: Event, caller: Caller) -> str:
    """Return the organization that a request acts for. No other parameter is allowed. Raises
    InvalidQuery and NotAllowed."""
    return _checked_organization(_read_parameters(event, ORGANIZATION_PARAMETER), caller)


def optional_organization_query(event: Event, caller: Caller) -> str | None:
    """Return the organization whose jobs the request asks for, or None for all organizations.
    Raises InvalidQuery and NotAllowed."""
    parameters = _read_parameters(event, ORGANIZATION_OR_ALL)
    if caller.is_service and not parameters:
        return None
    return _checked_organization(parameters, caller)


def organization_page_query(event: Event, caller: Caller) -> tuple[str, PageQuery]:
    """Return the organization and the page of a request. Raises InvalidQuery, NotAllowed."""
    parameters = _read_parameters(event, (*ORGANIZATION_PARAMETER, *PAGE_PARAMETERS))
    organization_id = _checked_organization(parameters, caller)
    parameters.pop(ORGANIZATION, None)
    return organization_id, PageQuery(**parameters)


def acting_organization(requested: str | None, caller: Caller) -> str:
    """Return the organization that a request acts for: `requested`, or by default the caller's.
    Raises InvalidQuery, NotAllowed."""
    organization_id: str | None = caller.organization_for(requested)
    if organization_id is None:
        raise InvalidQuery(ORGANIZATION, "is required")
    return organization_id


def _checked_organization(parameters: Mapping[str, Any], caller: Caller) -> str:
    organization_id = acting_organization(parameters.get(ORGANIZATION), caller)
    if not names.is_name(organization_id):
        raise InvalidQuery(ORGANIZATION, f"must be {names.RULE}")
    return organization_id


def list_query(event: Event) -> ListQuery:
    """Return the checked parameters of a request for a list of jobs. Raises InvalidQuery."""
    parameters = _read_parameters(event, JOB_LIST_PARAMETERS)
    if _IDEMPOTENCY_KEY in parameters:
        others = sorted(parameters.keys() - {_IDEMPOTENCY_KEY, ORGANIZATION})
        if others:
            why = f"can't be combined with {_IDEMPOTENCY_KEY}, which names one job"
            raise InvalidQuery(others[0], why)
    if "error_group" in parameters:
        status = parameters.setdefault("status", Status.FAILED)
        if status != Status.FAILED:
            raise InvalidQuery("status", "must be failed if error_group is given")
    if "status" in parameters:
        parameters["status"] = Status(parameters["status"])
    return ListQuery(**parameters)


def _read_parameters(event: Event, declared: tuple[Schema, ...]) -> dict[str, Any]:
    """Return the checked parameters of a request by name.

    `declared` has the parameters as the OpenAPI document declares them. Numbers are converted to
    int, and times to milliseconds since 1970.
    """
    schemas = {parameter["name"]: parameter["schema"] for parameter in declared}
    # Parse the raw string, because API Gateway joins the values of a repeated parameter with
    # commas, and a single value may contain a comma too.
    try:
        pairs = parse_qsl(
            event.get("rawQueryString") or "", keep_blank_values=True, errors="strict"
        )
    except ValueError:
        raise InvalidQuery("the query string", "isn't percent-encoded UTF-8") from None
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name not in schemas:
            raise InvalidQuery(name, f"isn't one of the parameters {', '.join(schemas)}")
        if name in parameters:
            raise InvalidQuery(name, "appears twice")
        parameters[name] = _convert(name, value, schemas[name])
    return parameters


def _convert(name: str, value: str, schema: Schema) -> Any:
    """Return the value that a text stands for. Raises InvalidQuery if it doesn't fit the schema."""
    max_length = schema.get("maxLength", _MAX_CHARACTERS)
    has_allowed_length = 0 < len(value) <= max_length
    if not has_allowed_length or not _has_allowed_characters(name, value):
        raise InvalidQuery(name, f"must be 1 to {max_length} printable characters")
    if "enum" in schema and value not in schema["enum"]:
        raise InvalidQuery(name, f"must be one of {', '.join(schema['enum'])}")
    if schema["type"] == "integer":
        return _parse_number(name, value, schema["minimum"], schema["maximum"])
    if schema.get("format") == TIME["format"]:
        return _parse_time(name, value)
    return value


def _has_allowed_characters(name: str, value: str) -> bool:
    """Return whether a value has only allowed characters. For an idempotency key, they are the same
    as when a job is dispatched."""
    if name == _IDEMPOTENCY_KEY:
        return re.fullmatch(names.KEY, value) is not None
    return value.isprintable()


def _parse_time(name: str, value: str) -> int:
    """Return a time in milliseconds since 1970. Raises InvalidQuery without a time zone."""
    with suppress(ValueError):
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None and time.timestamp() >= 0:
            return int(time.timestamp() * clock.SECOND)
    raise InvalidQuery(name, "must be a time with its zone, such as 2026-12-01T12:00:00Z")


def _parse_number(name: str, value: str, minimum: int, maximum: int) -> int:
    if re.fullmatch(r"[0-9]{1,4}", value) and minimum <= int(value) <= maximum:
        return int(value)
    raise InvalidQuery(name, f"must be a whole number from {minimum} to {maximum}")
