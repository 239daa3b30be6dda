"""Read the bodies of requests, check their fields, and check that the caller may use them."""

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from job_runners import names
from job_runners.api import body
from job_runners.api.access import Caller, Event
from job_runners.api.errors import InvalidField, InvalidFields
from job_runners.engine.job_data import JobData, RerunData
from job_runners.engine.registry.registry import registry
from job_runners.store.job_request import JobRequest
from job_runners.work.definitions import InternalJob
from job_runners.work.payloads import problems

if TYPE_CHECKING:
    from job_runners.engine.dispatch.checking import CheckedJob
    from job_runners.engine.wire.sending import Send

_Model = TypeVar("_Model", bound=BaseModel)

MAX_KEY_LENGTH = 255  # characters of an idempotency key, the same as in JobData

KeyInBody = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        pattern=names.KEY,
        description="The key, if it can't be sent in the header Idempotency-Key",
    ),
]

# The fields that a rerun copies from the finished job.
_COPIED_FIELDS = ("job_type", "organization_id", "queue_name")


class RequestBody(BaseModel):
    """The base of the models of request bodies. It refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class TaskData(RequestBody):
    """A task to send. Its payload must match the task's model."""

    task_name: str = Field(min_length=1, max_length=128, description="See GET /job-types")
    payload: dict[str, Any] = Field(default_factory=dict)


class RetryData(RequestBody):
    """How to retry a job. A payload must match the job's model."""

    payload: dict[str, Any] | None = Field(
        default=None,
        description="Payload with which the job starts over (default: continue with its own)",
    )


class RerunFields(RequestBody):
    """Where a rerun starts."""

    from_step: str | None = Field(
        default=None,
        min_length=1,
        max_length=1019,
        description="A finished step of the job. The new job starts with the results of what came "
        "before it (default: from the beginning)",
    )


class SignalData(RequestBody):
    """The value of a signal."""

    value: Any = Field(description="Any JSON of at most 100 KB. The job's `wait_for` returns it")


class NoFields(RequestBody):
    """An empty object."""


def read(model: type[_Model], event: Event) -> _Model:
    """Return the body of a request. Raises UnreadableBody, PayloadTooLarge, InvalidFields."""
    return validate(model, body.read_object(event))


def read_optional(model: type[_Model], event: Event) -> _Model:
    """Return the body of a request, which may be empty. Raises the errors of `read`."""
    return validate(model, body.read_optional_object(event))


def read_job(event: Event, caller: Caller) -> JobData:
    """Return the job of a request.

    Raises UnreadableBody, PayloadTooLarge and UnknownJobType. Raises InvalidFields for wrong fields
    and for a queue that the caller may not use. Raises NotAllowed for an organization that the
    caller may not act for.
    """
    fields = add_key(event, body.read_object(event))
    return job_from_fields(fields, caller)


def job_from_fields(fields: dict[str, Any], caller: Caller) -> JobData:
    """Return the job that these fields describe, with the caller's organization as the default.

    Raises the errors of `read_job`, except UnreadableBody and PayloadTooLarge.
    """
    organization_id = caller.organization_for(fields.get("organization_id"))
    if organization_id is not None:
        fields["organization_id"] = organization_id
    data = validate(JobData, fields)
    _check_queue(data, caller)
    return data


def _check_queue(data: JobData, caller: Caller) -> None:
    """Raise InvalidFields if this caller may not choose this queue for the job type. Callers can't
    choose freely, because a queue may have no limits, or may be reserved for more urgent jobs."""
    if data.queue_name is None:
        return
    job = registry().job(data.job_type)
    if data.queue_name in job.allowed_queues:
        return
    if caller.is_service and not job.only_allowed_queues:
        return
    allowed = ", ".join(map(repr, job.allowed_queues))
    advice = "only services may use other queues"
    if caller.is_service:
        advice = "add the queue to its definition"
    raise InvalidField("queue_name", f"must be {allowed} for a job {data.job_type!r}; {advice}")


def check_internal_job(job: JobData, send: "Send") -> "CheckedJob":
    """Check an internal job that the API itself dispatches. Raises the errors of
    `check_new_job`."""
    from job_runners.engine.dispatch.checking import check_new_job  # few requests need it

    return check_new_job(
        job,
        send,
        job_id=None,
        parent_id=None,
        idempotency_key=job.idempotency_key,
        dispatched_by=InternalJob.API,
    )


def copy_job(
    event: Event, row: JobRequest, payload: Any, rerun_of: dict[str, Any] | None
) -> JobData:
    """Return a new job with the type, organization, queue, follow-ups and limit of attempts of an
    earlier job.

    With `rerun_of`, the new job continues the earlier one from a step. Raises InvalidFields if a
    copied field is no longer valid.
    """
    fields = {"payload": payload, **_follow_ups_to_copy(row)}
    for name in _COPIED_FIELDS:
        value = getattr(row, name)
        if value is not None:
            fields[name] = value
    if row.attempt_limit is not None:
        fields["max_attempts"] = row.attempt_limit
    fields = add_key(event, fields)
    if rerun_of is not None:
        return validate(RerunData, fields | {"rerun_of": rerun_of})
    return validate(JobData, fields)


def _follow_ups_to_copy(row: JobRequest) -> dict[str, Any]:
    """Return the fields that give a new job the same follow-ups as an earlier one.

    A follow-up is a webhook to call, or a job to dispatch, when a job ends or fails. Job types that
    no longer exist are left out.
    """
    if not row.has_follow_ups:
        return {}
    from job_runners.store import follow_ups  # imported here because most jobs have none

    job_types = follow_ups.job_types_of(row)
    job_types.pop("announcement", None)  # the stack's settings decide whether the new job has one
    webhooks = {
        kind: {"webhook": webhook["url"], "secret": webhook["secret"]}
        for kind, webhook in follow_ups.webhooks_of(row).items()
    }
    definitions = registry().jobs
    known = {kind: job_type for kind, job_type in job_types.items() if job_type in definitions}
    return known | webhooks


def read_key(event: Event) -> str | None:
    """Return the idempotency key of a request without a body. Raises InvalidFields."""
    key = body.header(event, "idempotency-key")
    if key is None:
        return None
    if len(key) > MAX_KEY_LENGTH or not re.match(names.KEY, key):
        why = f"must be 1 to {MAX_KEY_LENGTH} characters, without control characters"
        raise InvalidField("idempotency_key", why)
    return key


def require_key(key: str | None) -> str:
    """Return the key. Raises InvalidFields if it is None, because the request needs an idempotency
    key."""
    if key is None:
        raise InvalidField("idempotency_key", "is required; send it in the header Idempotency-Key")
    return key


def add_key(event: Event, fields: dict[str, Any]) -> dict[str, Any]:
    """Add the idempotency key from the request's header, if there is one, and return the fields.

    Raises InvalidFields if the body has a different key.
    """
    key = body.header(event, "idempotency-key")
    if key is not None:
        if fields.get("idempotency_key") not in (None, key):
            raise InvalidField("idempotency_key", "differs from the header Idempotency-Key")
        fields["idempotency_key"] = key
    return fields


def check_name(name: str) -> None:
    """Raise InvalidFields for an invalid name in a path."""
    if not names.is_name(name):
        raise InvalidField("name", f"must be {names.RULE}")


def refuse_fields(event: Event) -> None:
    """Refuse a body that has fields, because they would have no effect. Raises UnreadableBody,
    PayloadTooLarge, InvalidFields."""
    read_optional(NoFields, event)


def validate(model: type[_Model], fields: dict[str, Any]) -> _Model:
    """Return the fields as an instance of the model. Raises InvalidFields."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidFields(problems(error, "")) from None


def is_whole_number(value: Any) -> bool:
    """Return whether a value from JSON is a whole number, such as 60 or 60.0.

    Without this check, pydantic would also accept "60" and true.
    """
    return type(value) in (int, float) and value % 1 == 0


def require_whole_number(value: Any) -> Any:
    """Return a value from JSON. Raises ValueError if it isn't a whole number."""
    if not is_whole_number(value):
        raise ValueError("must be a whole number")
    return value
