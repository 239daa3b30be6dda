"""The payload that a batch's last job gets: how many members have ended, and how."""

from typing import Any

from pydantic import BaseModel, ConfigDict

# A batch that a job dispatched at the end of one must accept.
SAMPLE: dict[str, Any] = {
    "id": "0123456789abcdef0123456789abcdef",
    "total": 3,
    "succeeded": 2,
    "failed": 1,
    "canceled": 0,
    "existing": 0,
}


class BatchEnded(BaseModel):
    """A batch whose members have all ended: the field `batch` in the payload of its `then`.

    `existing` counts the unique members for which another job did the same work.
    """

    model_config = ConfigDict(defer_build=True)

    id: str
    total: int
    succeeded: int
    failed: int
    canceled: int
    existing: int
