"""Read the parameters in the query strings of requests, and check them before any other work."""

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
    waits_for: str | None = None  # a kind of `positions.WaitReason`
    search: str | None = None
    since: int = 0  # in milliseconds since 1970
    until: int | None = None
    error_group: str | None = None  # the id of an error group, whose jobs are all failed
    idempotency_key: str | None = None  # excludes all parameters except organization_id
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None

    def matches(self, row: JobRequest) -> bool:
        """Return whether a job matches the type, the queue, the cause of its wait and the
        search."""
        return (
            self.job_type in (None, row.job_type)
            and self.queue_name in (None, row.queue_name)
            and (self.waits_for is None or _kind_of_wait(row) == self.waits_for)
            and (self.search is None or _matches_start(row, self.search.casefold()))
        )


def _kind_of_wait(row: JobRequest) -> str | None:
    reason = positions.wait_reason(row)
    return None if reason is None else reason.kind


def _matches_start(row: JobRequest, start: str) -> bool:
    """Return whether a job's id, message or error starts with this text. An error matches if its
    kind or its message starts with the text."""
    error = row.error or {}
    kind = str(error.get("kind", ""))
    message = str(error.get("message", ""))
    texts = (row.id, row.result_message or "", f"{kind}: {message}", message)
    return any(text.casefold().startswith(start) for text in texts)


class PageQuery(NamedTuple):
    """The checked parameters of one page of a list."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def page_query(event: Event) -> PageQuery:
    """Return the checked parameters of a request for a page. Raises InvalidQuery."""
    return PageQuery(**_parameters(event, PAGE_PARAMETERS))


def members_query(event: Event) -> tuple[str | None, PageQuery]:
    """Return the outcome and the page of a request for members. Raises InvalidQuery."""
    parameters = _parameters(event, MEMBER_PARAMETERS)
    return parameters.pop("status", None), PageQuery(**parameters)


def includes_members(event: Event) -> bool:
    """Return whether a request is about a job's members too. Raises InvalidQuery."""
    return "true" in _parameters(event, WITH_MEMBERS).values()


def organization_query(event: Event, caller: Caller) -> str:
    """Return the organization that a request acts for. The query string may have no other
    parameter. Raises InvalidQuery, NotAllowed."""
    return _checked_organization(_parameters(event, ORGANIZATION_PARAMETER), caller)


def optional_organization(event: Event, caller: Caller) -> str | None:
    """Return the organization whose jobs a request is about, or None for all. Raises InvalidQuery,
    NotAllowed."""
    parameters = _parameters(event, ORGANIZATION_OR_ALL)
    if caller.is_service and not parameters:
        return None
    return _checked_organization(parameters, caller)


def organization_page_query(event: Event, caller: Caller) -> tuple[str, PageQuery]:
    """Return the organization and the page of a request. Raises InvalidQuery, NotAllowed."""
    parameters = _parameters(event, (*ORGANIZATION_PARAMETER, *PAGE_PARAMETERS))
    organization = {ORGANIZATION: parameters.pop(ORGANIZATION, None)}
    return _checked_organization(organization, caller), PageQuery(**parameters)


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
    parameters = _parameters(event, JOB_LIST_PARAMETERS)
    if _IDEMPOTENCY_KEY in parameters:
        for name in parameters.keys() - {_IDEMPOTENCY_KEY, ORGANIZATION}:
            raise InvalidQuery(
                name, f"can't be combined with {_IDEMPOTENCY_KEY}, which names one job"
            )
    query = ListQuery(**parameters)
    if query.error_group is not None and query.status not in (None, Status.FAILED):
        raise InvalidQuery("status", "must be failed if error_group is given")
    if query.error_group:
        return query._replace(status=Status.FAILED)
    return query._replace(status=Status(query.status) if query.status else None)


def _parameters(event: Event, declared: tuple[Schema, ...]) -> dict[str, Any]:
    """Return the parameters of a request by name, checked against their declarations in the OpenAPI
    document. A number is an int, and a time is in milliseconds since 1970."""
    schemas = {parameter["name"]: parameter["schema"] for parameter in declared}
    # Parse the raw string. In the parsed one, API Gateway joins the values of a repeated parameter
    # with commas, but a name may contain a comma too.
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
        parameters[name] = _check_value(name, value, schemas[name])
    return parameters


def _check_value(name: str, value: str, schema: Schema) -> Any:
    max_length = schema.get("maxLength", _MAX_CHARACTERS)
    if not 0 < len(value) <= max_length or not _has_allowed_characters(name, value):
        raise InvalidQuery(name, f"must be 1 to {max_length} printable characters")
    if "enum" in schema and value not in schema["enum"]:
        raise InvalidQuery(name, f"must be one of {', '.join(schema['enum'])}")
    if schema["type"] == "integer":
        return _whole_number(name, value, schema["minimum"], schema["maximum"])
    if schema.get("format") == TIME["format"]:
        return _time(name, value)
    return value


def _has_allowed_characters(name: str, value: str) -> bool:
    """Return whether a value has only allowed characters. An idempotency key may have a few more,
    the same as in a dispatch."""
    if name == _IDEMPOTENCY_KEY:
        return re.fullmatch(names.KEY, value) is not None
    return value.isprintable()


def _time(name: str, value: str) -> int:
    with suppress(ValueError):
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None and time.timestamp() >= 0:
            return int(time.timestamp() * clock.SECOND)
    raise InvalidQuery(name, "must be a time with its zone, such as 2026-12-01T12:00:00Z")


def _whole_number(name: str, value: str, minimum: int, maximum: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value) or not minimum <= int(value) <= maximum:
        raise InvalidQuery(name, f"must be a whole number from {minimum} to {maximum}")
    return int(value)
