"""Check the query parameters of lists before anything is read."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from job_runners import clock, names
from job_runners.api.access import Caller
from job_runners.api.errors import InvalidQuery
from job_runners.engine.control import positions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.member_outcomes import OUTCOMES
from job_runners.store.queries import PAGE_LIMIT

DEFAULT_LIMIT = 25
_IDEMPOTENCY_KEY = "idempotency_key"
_ORGANIZATION = "organization_id"
_LIST_PARAMETERS = (
    _ORGANIZATION,
    "status",
    "job_type",
    "queue_name",
    "waits_for",
    "search",
    "since",
    "until",
    "failure",
    _IDEMPOTENCY_KEY,
    "limit",
    "cursor",
)
_PAGE_PARAMETERS = ("limit", "cursor")
_LONGEST = 256  # characters of most values
# A cursor of a list of children contains the key of a child, which may be long.
_LONGEST_OF = {_IDEMPOTENCY_KEY: 255, "cursor": 2048}


class ListQuery(NamedTuple):
    """The checked parameters of a list of jobs."""

    organization_id: str | None
    status: Status | None
    job_type: str | None
    queue_name: str | None
    waits_for: str | None  # a kind of `positions.WaitsFor`
    search: str | None
    since: int  # in milliseconds since 1970
    until: int | None
    failure: str | None  # the id of an error group, whose jobs are all failed
    idempotency_key: str | None  # excludes all parameters except organization_id
    limit: int
    cursor: str | None

    def matches(self, row: JobRequest) -> bool:
        """Return whether a job matches the type, the queue, the cause of its wait and the
        search."""
        return (
            self.job_type in (None, row.job_type)
            and self.queue_name in (None, row.queue_name)
            and (self.waits_for is None or _waits_for(row) == self.waits_for)
            and (self.search is None or _matches_start(row, self.search.casefold()))
        )


def _waits_for(row: JobRequest) -> str | None:
    found = positions.waits_for(row)
    return None if found is None else found.kind


def _matches_start(row: JobRequest, start: str) -> bool:
    """Return whether a job's id, message or error starts with this text. An error matches if its
    kind or its message starts with the text."""
    error = row.error or {}
    kind, message = str(error.get("kind", "")), str(error.get("message", ""))
    texts = (row.id, row.result_message or "", f"{kind}: {message}", message)
    return any(text.casefold().startswith(start) for text in texts)


class PageQuery(NamedTuple):
    """The checked parameters of one page of a list."""

    limit: int
    cursor: str | None


def page_query(event: Mapping[str, Any]) -> PageQuery:
    """Return the checked parameters of a request for a page. Raises InvalidQuery."""
    given = _parameters(event, _PAGE_PARAMETERS)
    return PageQuery(_limit(given.get("limit")), given.get("cursor"))


def members_query(event: Mapping[str, Any]) -> tuple[str | None, PageQuery]:
    """Return the outcome and the page of a request for members. Raises InvalidQuery."""
    given = _parameters(event, ("status", *_PAGE_PARAMETERS))
    outcome = given.get("status")
    if outcome is not None and outcome not in OUTCOMES:
        raise InvalidQuery("status", f"must be one of {', '.join(OUTCOMES)}")
    return outcome, PageQuery(_limit(given.get("limit")), given.get("cursor"))


def flag(event: Mapping[str, Any], name: str) -> bool:
    """Return whether the only parameter of a request is true. Raises InvalidQuery."""
    value = _parameters(event, (name,)).get(name, "false")
    if value not in ("true", "false"):
        raise InvalidQuery(name, "must be true or false")
    return value == "true"


def organization_query(event: Mapping[str, Any], caller: Caller) -> str:
    """Return the organization that a request acts for. The query string may have no other
    parameter. Raises InvalidQuery, NotAllowed."""
    return _named_organization(_parameters(event, (_ORGANIZATION,)), caller)


def optional_organization(event: Mapping[str, Any], caller: Caller) -> str | None:
    """Return the organization whose jobs a request is about, or None for all. Raises InvalidQuery,
    NotAllowed."""
    given = _parameters(event, (_ORGANIZATION,))
    if caller.is_service and not given:
        return None
    return _named_organization(given, caller)


def organization_page_query(event: Mapping[str, Any], caller: Caller) -> tuple[str, PageQuery]:
    """Return the organization and the page of a request. Raises InvalidQuery, NotAllowed."""
    given = _parameters(event, (_ORGANIZATION, *_PAGE_PARAMETERS))
    page = PageQuery(_limit(given.get("limit")), given.get("cursor"))
    return _named_organization(given, caller), page


def acting_organization(named: str | None, caller: Caller) -> str:
    """Return the organization that a request acts for: `named`, or the caller's by default. Raises
    InvalidQuery, NotAllowed."""
    organization_id: str | None = caller.organization_for(named)
    if organization_id is None:
        raise InvalidQuery(_ORGANIZATION, "is required")
    return organization_id


def _named_organization(given: Mapping[str, str], caller: Caller) -> str:
    organization_id = acting_organization(given.get(_ORGANIZATION), caller)
    if not names.is_name(organization_id):
        raise InvalidQuery(_ORGANIZATION, f"must be {names.RULE}")
    return organization_id


def list_query(event: Mapping[str, Any]) -> ListQuery:
    """Return the checked parameters of a request for a list of jobs. Raises InvalidQuery."""
    given = _parameters(event, _LIST_PARAMETERS)
    if _IDEMPOTENCY_KEY in given:
        for name in given.keys() - {_IDEMPOTENCY_KEY, "organization_id"}:
            raise InvalidQuery(
                name, f"can't be combined with {_IDEMPOTENCY_KEY}, which names one job"
            )
    status = _status(given.get("status"))
    if "failure" in given and status not in (None, Status.FAILED):
        raise InvalidQuery("status", "must be failed if failure is given")
    return ListQuery(
        organization_id=given.get("organization_id"),
        status=Status.FAILED if "failure" in given else status,
        job_type=given.get("job_type"),
        queue_name=given.get("queue_name"),
        waits_for=_waits_for_kind(given.get("waits_for")),
        search=given.get("search"),
        since=_time("since", given) or 0,
        until=_time("until", given),
        failure=given.get("failure"),
        idempotency_key=given.get(_IDEMPOTENCY_KEY),
        limit=_limit(given.get("limit")),
        cursor=given.get("cursor"),
    )


def _parameters(event: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    # Parse the raw string. API Gateway joins the values of a repeated parameter with commas, but a
    # name may contain a comma too.
    try:
        pairs = parse_qsl(
            event.get("rawQueryString") or "", keep_blank_values=True, errors="strict"
        )
    except ValueError:
        raise InvalidQuery("the query string", "isn't percent-encoded UTF-8") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise InvalidQuery(name, f"isn't one of the parameters {', '.join(known)}")
        if name in given:
            raise InvalidQuery(name, "appears twice")
        longest = _LONGEST_OF.get(name, _LONGEST)
        if not 0 < len(value) <= longest or not _has_allowed_characters(name, value):
            raise InvalidQuery(name, f"must be 1 to {longest} printable characters")
        given[name] = value
    return given


def _has_allowed_characters(name: str, value: str) -> bool:
    """Return whether a value has only allowed characters. An idempotency key may have a few more,
    the same as in a dispatch."""
    return (
        re.fullmatch(names.KEY, value) is not None
        if name == _IDEMPOTENCY_KEY
        else value.isprintable()
    )


def _status(value: str | None) -> Status | None:
    if value is None:
        return None
    if value not in list(Status):
        raise InvalidQuery("status", f"must be one of {', '.join(Status)}")
    return Status(value)


def _time(name: str, given: Mapping[str, str]) -> int | None:
    if name not in given:
        return None
    with suppress(ValueError):
        found = datetime.fromisoformat(given[name])
        if found.tzinfo is not None and found.timestamp() >= 0:
            return int(found.timestamp() * clock.SECOND)
    raise InvalidQuery(name, "must be a time with its zone, such as 2026-12-01T12:00:00Z")


def _waits_for_kind(value: str | None) -> str | None:
    if value is not None and value not in positions.KINDS:
        raise InvalidQuery("waits_for", f"must be one of {', '.join(positions.KINDS)}")
    return value


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= PAGE_LIMIT:
        raise InvalidQuery("limit", f"must be a whole number from 1 to {PAGE_LIMIT}")
    return int(value)
