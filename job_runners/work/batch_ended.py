"""The payload of the job that follows a batch: how many members have ended, by outcome."""

from typing import Any

from pydantic import BaseModel, ConfigDict

# The model of each job that follows a batch must accept this payload.
SAMPLE_PAYLOAD: dict[str, Any] = {
    "id": "0123456789abcdef0123456789abcdef",
    "total": 3,
    "succeeded": 2,
    "failed": 1,
    "canceled": 0,
    "existing": 0,
}


class BatchEnded(BaseModel):
    """A batch whose members have all ended.

    It is the field `batch` in the payload of the batch's `then` job. `existing` counts the members
    that weren't run because they are unique, and another job did the same work.
    """

    model_config = ConfigDict(defer_build=True)

    id: str
    total: int
    succeeded: int
    failed: int
    canceled: int
    existing: int
