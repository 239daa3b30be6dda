"""What a body must be to dispatch work: the fields, and who may fill them in how."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import body
from api.access import Caller
from api.refusals import InvalidFields
from runners.base import JobData
from work.definitions import problems

_M = TypeVar("_M", bound=BaseModel)


class TaskData(BaseModel):
    """A task to dispatch; its payload is checked against its task's model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_name: str = Field(min_length=1, max_length=128, description="See GET /job-types")
    payload: dict[str, Any] = Field(default_factory=dict)


def task_data(event: Mapping[str, Any]) -> TaskData:
    """The task a request asks for; raises UnreadableBody, PayloadTooLarge, InvalidFields."""
    return _checked(TaskData, body.read_object(event))


def job_data(event: Mapping[str, Any], caller: Caller) -> JobData:
    """The job a request asks for; raises UnreadableBody, PayloadTooLarge, InvalidFields, and
    NotAllowed if it is for an organisation that the caller may not speak for."""
    fields = body.read_object(event)
    organization_id = caller.speaks_for(fields.get("organization_id"))
    if organization_id is not None:
        fields["organization_id"] = organization_id
    return _checked(JobData, fields)


def _checked(model: type[_M], fields: dict[str, Any]) -> _M:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidFields(problems(error, "")) from None
