"""POST /jobs/bulk: check the jobs of a request, dispatch them, and return the result of each.

All jobs of such requests are dispatched under one idempotency key. A job's position is its index
among all jobs under the key, which may span several requests.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from job_runners import clock, runners
from job_runners.api import body, problems, requests, views
from job_runners.api.access import Caller, Event
from job_runners.api.errors import InvalidField, InvalidFields, InvalidJobs
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    TEXT,
    Fields,
    build_view,
    nullable,
    object_of,
    ref,
)
from job_runners.api.json_schema import Field as ViewField
from job_runners.api.responses import Response, respond
from job_runners.engine.dispatch import bulk
from job_runners.engine.dispatch.checking import CheckedJob, check_new_job
from job_runners.engine.wire.sending import Accepted, Send, require_sender
from job_runners.errors import InvalidFollowUp, InvalidPayload, UnknownJobType
from job_runners.store.job_request import DuplicateAnswer, JobRequest, derived_id

# After this time, no more jobs are saved. The Lambda function times out after 29 s, and a call may
# take 5 s.
_MAX_DISPATCH_SECONDS = 22
_MAX_INDEX = 10**9
# The length of an error or message in a response, because a response may have 1,000 of each.
_MAX_CHARACTERS = 200
_RETRY_AFTER = {"Retry-After": "1"}


class BulkData(requests.RequestBody):
    """Jobs to dispatch with one request. The request dispatches all of them or, if one is invalid,
    none."""

    jobs: list[Any] = Field(
        min_length=1, max_length=bulk.MAX_JOBS, description="The jobs, in order"
    )
    first_index: int = Field(
        default=0,
        ge=0,
        le=_MAX_INDEX,
        description="The index of the first of these jobs among all jobs under the idempotency "
        f"key. Use it to dispatch more than {bulk.MAX_JOBS:,} jobs under one key",
    )
    idempotency_key: requests.KeyInBody = None


class _Result(NamedTuple):
    """The result of one job. Exactly one of `accepted` and `problem` is set."""

    position: int  # counted from 0
    accepted: Accepted | None
    problem: dict[str, Any] | None

    @property
    def row(self) -> JobRequest | None:
        return None if self.accepted is None else self.accepted.row

    @property
    def status(self) -> int:
        return 202 if self.problem is None else int(self.problem["status"])


def _unique_outcome(accepted: Accepted | None) -> str | None:
    if accepted is None or accepted.duplicate is None:
        return None
    return str(accepted.duplicate.outcome)


def _short_job_view(row: JobRequest | None) -> dict[str, Any] | None:
    """Return a job's summary with a shortened error and message, or None without a job."""
    if row is None:
        return None
    view = views.summary_view(row)
    view["result_message"] = _shortened(row.result_message)
    if view["error"]:
        view["error"] = view["error"] | {"message": _shortened(view["error"]["message"])}
    return view


def _shortened(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_CHARACTERS]


RESULT: Fields[_Result] = {
    "index": ViewField(
        NUMBER, lambda result: result.position, "Its index among all jobs under the idempotency key"
    ),
    "status": ViewField(
        NUMBER,
        lambda result: result.status,
        "202 if the job is saved. 503 if there was no time to save it: repeat the request. "
        "409 or 500 as for POST /jobs",
    ),
    "job": ViewField(
        {"anyOf": [ref("JobSummary"), {"type": "null"}]},
        lambda result: _short_job_view(result.row),
        "The job, if it is saved. A long error or message is shortened",
    ),
    "replayed": ViewField(
        {"type": "boolean"},
        lambda result: result.accepted is not None and views.is_repeated(result.accepted),
        "Whether an earlier request saved the job",
    ),
    "unique_outcome": ViewField(
        {"enum": [None, *map(str, DuplicateAnswer)]},
        lambda result: _unique_outcome(result.accepted),
        "As the header Unique-Outcome of POST /jobs",
    ),
    "problem": ViewField(
        {
            **object_of(
                {
                    "type": TEXT,
                    "title": TEXT,
                    "status": NUMBER,
                    "detail": TEXT,
                    "job_id": nullable(ID),
                }
            ),
            "type": ["object", "null"],
        },
        lambda result: result.problem,
        "Null if the job is saved. `job_id` is as in other problems",
    ),
}


def dispatch(event: Event, caller: Caller) -> Response:
    """Check all jobs, then dispatch as many as the time allows, and return the response.

    Raises InvalidJobs, which lists every invalid job, and the errors of POST /jobs that don't
    depend on one job. Raises RunnerCannotResend if the runner has no send(). After an error, no job
    was saved.
    """
    deadline = clock.now() + _MAX_DISPATCH_SECONDS * clock.SECOND
    data, key = _read(event)
    send = require_sender(runners.sender(), "POST /jobs/bulk", "sends many jobs at once")
    checked_jobs = _check_jobs(data, key, caller, send)
    outcomes = bulk.dispatch_jobs(checked_jobs, send, until=deadline)
    results = []
    for position, (accepted, error) in enumerate(outcomes, data.first_index):
        problem = None if error is None else problems.job_problem(error)
        results.append(_Result(position, accepted, problem))
    must_repeat = any(result.status == 503 for result in results)
    result_views = [build_view(RESULT, result) for result in results]
    return respond(200, {"jobs": result_views}, _RETRY_AFTER if must_repeat else {})


def _read(event: Event) -> tuple[BulkData, str]:
    """Return the validated fields of the request, and its idempotency key."""
    data = requests.validate(BulkData, requests.add_key(event, body.read_object(event)))
    return data, requests.require_key(data.idempotency_key)


def _check_jobs(data: BulkData, key: str, caller: Caller, send: Send) -> list[CheckedJob]:
    """Return the checked jobs. Raises InvalidJobs with the problems of all invalid jobs."""
    checked_jobs: list[CheckedJob] = []
    all_problems: list[dict[str, Any]] = []
    for offset, fields in enumerate(data.jobs):
        position = data.first_index + offset
        try:
            checked_jobs.append(_check_job(fields, caller, send, key, position))
        except (InvalidFields, UnknownJobType, InvalidPayload, InvalidFollowUp) as error:
            all_problems += problems_of_item(invalid_fields(error), position, f"jobs.{offset}")
    if all_problems:
        raise InvalidJobs(all_problems)
    return checked_jobs


def _check_job(fields: Any, caller: Caller, send: Send, key: str, position: int) -> CheckedJob:
    if not isinstance(fields, dict):
        raise InvalidField("", "must be an object")
    if "idempotency_key" in fields:
        why = "isn't allowed here, because all jobs of the request are under its own key"
        raise InvalidField("idempotency_key", why)
    data = requests.job_from_fields(fields, caller)
    job_id = derived_id("bulk", data.organization_id, key, str(position))
    return check_new_job(data, send, job_id=job_id, parent_id=None, idempotency_key=key)


def invalid_fields(error: Exception) -> Sequence[Mapping[str, str]]:
    """Return the invalid fields of one job, each with the reason."""
    if isinstance(error, UnknownJobType):
        return [{"field": "job_type", "why": str(error)}]
    field_problems: Sequence[Mapping[str, str]] = getattr(error, "problems", ())
    return field_problems


def problems_of_item(
    field_problems: Sequence[Mapping[str, str]], position: int, path: str
) -> list[dict[str, Any]]:
    """Return the problems of one item of a list in the body. Each gets the item's position, and the
    item's path in front of its field."""
    return [
        {
            "index": position,
            # A problem of the whole item has an empty field.
            "field": f"{path}.{problem['field']}".rstrip("."),
            "why": problem["why"],
        }
        for problem in field_problems
    ]
