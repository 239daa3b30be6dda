"""The query parameters of a list of jobs, checked before anything is read."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import names
from api.access import Caller
from api.errors import InvalidQuery
from store.job_request import JobRequest, Status
from store.queries import PAGE_LIMIT

DEFAULT_LIMIT = 25
_KEY = "idempotency_key"
_WHOSE = "organization_id"
_LISTED = (_WHOSE, "status", "job_type", "queue_name", "search", _KEY, "limit", "cursor")
_PAGED = ("limit", "cursor")
_LONGEST = 256  # characters of a value
_LONGEST_OF = {_KEY: 255, "cursor": 2048}  # the key of a job's child may be long


class ListQuery(NamedTuple):
    """Which jobs to list."""

    organization_id: str | None
    status: Status | None
    job_type: str | None
    queue_name: str | None
    search: str | None
    idempotency_key: str | None  # then with no other parameter than the organisation
    limit: int
    cursor: str | None

    def matches(self, row: JobRequest) -> bool:
        """Return whether a job is of the type and queue asked for, and begins with the search."""
        return (
            self.job_type in (None, row.job_type)
            and self.queue_name in (None, row.queue_name)
            and (self.search is None or _begins(row, self.search.casefold()))
        )


def _begins(row: JobRequest, beginning: str) -> bool:
    """Return whether a job's id, its message or its error begins so; an error with its kind, or
    with its message."""
    error = row.error or {}
    kind, message = str(error.get("kind", "")), str(error.get("message", ""))
    texts = (row.id, row.result_message or "", f"{kind}: {message}", message)
    return any(text.casefold().startswith(beginning) for text in texts)


class PageQuery(NamedTuple):
    """Which part of a list."""

    limit: int
    cursor: str | None


def page_query(event: Mapping[str, Any]) -> PageQuery:
    """Return what part of a list a request's query string asks for; raises InvalidQuery."""
    given = _parameters(event, _PAGED)
    return PageQuery(_limit(given.get("limit")), given.get("cursor"))


def organization_query(event: Mapping[str, Any], caller: Caller) -> str:
    """Return the organisation that a request is for, of which its query string may name one and
    nothing else. Raises InvalidQuery, NotAllowed."""
    return _named_organization(_parameters(event, (_WHOSE,)), caller)


def organization_page_query(event: Mapping[str, Any], caller: Caller) -> tuple[str, PageQuery]:
    """Return the same, and which part of a list is asked for. Raises InvalidQuery, NotAllowed."""
    given = _parameters(event, (_WHOSE, *_PAGED))
    part = PageQuery(_limit(given.get("limit")), given.get("cursor"))
    return _named_organization(given, caller), part


def whose(named: str | None, caller: Caller) -> str:
    """Return the organisation that a request is for, given the one that it names, if any. Raises
    InvalidQuery, NotAllowed."""
    organization_id: str | None = caller.speaks_for(named)
    if organization_id is None:
        raise InvalidQuery(_WHOSE, "is required")
    return organization_id


def _named_organization(given: Mapping[str, str], caller: Caller) -> str:
    organization_id = whose(given.get(_WHOSE), caller)
    if not names.is_name(organization_id):
        raise InvalidQuery(_WHOSE, f"must be {names.RULE}")
    return organization_id


def list_query(event: Mapping[str, Any]) -> ListQuery:
    """Return what a request's query string asks for; raises InvalidQuery."""
    given = _parameters(event, _LISTED)
    if _KEY in given:
        for name in given.keys() - {_KEY, "organization_id"}:
            raise InvalidQuery(name, f"can't be combined with {_KEY}, which names one job")
    return ListQuery(
        organization_id=given.get("organization_id"),
        status=_status(given.get("status")),
        job_type=given.get("job_type"),
        queue_name=given.get("queue_name"),
        search=given.get("search"),
        idempotency_key=given.get(_KEY),
        limit=_limit(given.get("limit")),
        cursor=given.get("cursor"),
    )


def _parameters(event: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    # API Gateway's own parsed form joins a repeated parameter with commas, which names may contain.
    try:
        pairs = parse_qsl(
            event.get("rawQueryString") or "", keep_blank_values=True, errors="strict"
        )
    except ValueError:
        raise InvalidQuery("the query string", "is not percent-encoded UTF-8") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise InvalidQuery(name, f"is not known here; known are {', '.join(known)}")
        if name in given:
            raise InvalidQuery(name, "is given twice")
        longest = _LONGEST_OF.get(name, _LONGEST)
        if not 0 < len(value) <= longest or not _is_fit(name, value):
            raise InvalidQuery(name, f"must be 1 to {longest} printable characters")
        given[name] = value
    return given


def _is_fit(name: str, value: str) -> bool:
    """Return whether every character is one that a value may have. A key may have those that it may
    have in a dispatch, which are a few more."""
    return re.fullmatch(names.KEY, value) is not None if name == _KEY else value.isprintable()


def _status(value: str | None) -> Status | None:
    if value is None:
        return None
    if value not in list(Status):
        raise InvalidQuery("status", f"must be one of {', '.join(Status)}")
    return Status(value)


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= PAGE_LIMIT:
        raise InvalidQuery("limit", f"must be a whole number from 1 to {PAGE_LIMIT}")
    return int(value)
