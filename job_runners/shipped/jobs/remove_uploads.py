"""Remove an organization's uploaded files that its jobs don't need anymore."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from job_runners import clock
from job_runners.aws import bucket
from job_runners.shipped.jobs.old_uploads import NeededFiles, older_than
from job_runners.work import RunningJob

_CHECK_EVERY = 25  # files between two checks of the needed files, each with a checkpoint


class RemoveUploads(BaseModel):
    """The age from which files under uploads/<organization_id>/ are removed."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"older_than_days": 7}]}
    )

    older_than_days: int = Field(
        default=7,
        ge=1,
        le=3650,
        description="Files that were uploaded more than this number of days ago are removed. Files "
        "stay if the payload of a schedule, or of a job that hasn't succeeded, names them.",
    )


def remove_uploads(job: RunningJob, payload: RemoveUploads) -> dict[str, Any]:
    """Remove the organization's old uploads that no job needs anymore.

    A file that is replaced in the meantime stays. Another attempt continues at the cursor.
    """
    cursor = job.cursor or {"after": None, "removed": 0, "bytes": 0, "kept": 0}
    before = clock.now() - payload.older_than_days * clock.DAY
    needed: NeededFiles | None = None
    for number, file in enumerate(older_than(job.organization_id, before, cursor["after"])):
        if needed is None:
            needed = NeededFiles(job.organization_id)
        elif number % _CHECK_EVERY == 0:
            job.checkpoint(cursor, message=f"{cursor['removed']:,} files removed")
            needed.look_again()
        if file.key in needed or not bucket.delete_unchanged(file.key, file.etag):
            cursor["kept"] += 1
        else:
            cursor["removed"] += 1
            cursor["bytes"] += file.size
        cursor["after"] = file.key
    return {name: cursor[name] for name in ("removed", "bytes", "kept")}
