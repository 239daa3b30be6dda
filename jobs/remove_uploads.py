"""Removes the uploaded files that an organisation's jobs are done with."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import clock
from aws import bucket
from campaigns.old_uploads import NeededFiles, older_than
from work import RunningJob

_LOOK_EVERY = 25  # files between two looks at what jobs need, each followed by a report


class RemoveUploads(BaseModel):
    """Says which of the files under uploads/<organization_id>/ are old."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"older_than_days": 7}]}
    )

    older_than_days: int = Field(
        default=7,
        ge=1,
        le=3650,
        description="Files that were uploaded before so many days are removed, unless a job that "
        "has not succeeded, or a schedule, names them in its payload.",
    )


def remove_uploads(job: RunningJob, payload: RemoveUploads) -> dict[str, Any]:
    """Remove the organisation's old uploads that no job needs any more.

    A file that is replaced meanwhile stays. Done again, it goes on.
    """
    cursor = job.cursor or {"after": None, "removed": 0, "bytes": 0, "kept": 0}
    before = clock.now() - payload.older_than_days * clock.DAY
    needed: NeededFiles | None = None
    for number, file in enumerate(older_than(job.organization_id, before, cursor["after"])):
        if needed is None:
            needed = NeededFiles(job.organization_id)
        elif number % _LOOK_EVERY == 0:
            job.checkpoint(cursor, message=f"{cursor['removed']:,} files removed")
            needed.look_again()
        if file.key in needed or not bucket.delete_unchanged(file.key, file.etag):
            cursor["kept"] += 1
        else:
            cursor["removed"] += 1
            cursor["bytes"] += file.size
        cursor["after"] = file.key
    return {name: cursor[name] for name in ("removed", "bytes", "kept")}
