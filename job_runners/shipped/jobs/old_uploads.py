"""Find an organization's uploaded files that no job needs anymore."""

from collections.abc import Iterator
from typing import Any

from job_runners import clock
from job_runners.aws import bucket
from job_runners.aws.bucket import ListedObject
from job_runners.errors import MissingObject
from job_runners.store import blobs, queries, schedules
from job_runners.store.job_request import JobRequest, Status

_PAGE = queries.PAGE_LIMIT
# The list of an organization's jobs shows a new job with a short delay.
_LAG = clock.MINUTE


def older_than(organization_id: str, before: int, after: str | None) -> Iterator[ListedObject]:
    """Yield the files uploaded before `before` (milliseconds since 1970), after the key `after`."""
    for file in bucket.list_objects(_folder(organization_id), after):
        if file.modified_at < before:
            yield file


class NeededFiles:
    """The keys of an organization's files that jobs may still read.

    A job needs the files in its payload until it has succeeded, because a failed or canceled job
    can be retried. A schedule needs the files in its payload. A file that was needed once counts as
    needed from then on.
    """

    def __init__(self, organization_id: str) -> None:
        self._organization = organization_id
        self._keys: set[str] = set()
        self._seen_until = 0
        self._open: dict[str, int | None] = {}  # jobs that may still run, with their updated_at
        self.look_again()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def look_again(self) -> None:
        """Add the files that have become needed since the last call.

        Since then, schedules may have been created and jobs dispatched. Also, a job that waits or
        can be retried may have received a new payload, no matter when it was dispatched.
        """
        since, self._seen_until = self._seen_until - _LAG, clock.now()
        # Schedules are read before jobs: in between, a schedule may dispatch its last job and end.
        for schedule in _schedules(self._organization):
            self._add_files(schedule.payload)
        for row in queries.read_many(self._open, fresh=True).values():
            self._add_job(row)
        for row in _jobs(self._organization):
            if row.created_at < since:
                return
            self._add_job(row)

    def _add_job(self, row: JobRequest) -> None:
        """Add the files of a job if it is new, or has changed since it was last added.

        A job that has succeeded can't receive a new payload.
        """
        if row.status is Status.SUCCEEDED:
            self._open.pop(row.id, None)
        elif row.id not in self._open or self._open[row.id] != row.updated_at:
            self._add_files(_payload(row))
            self._open[row.id] = row.updated_at

    def _add_files(self, value: Any) -> None:
        """Add each string in a payload that can be the key of a file."""
        match value:
            case str() if value.startswith(_folder(self._organization)):
                self._keys.add(value)
            case dict():
                for each in (*value, *value.values()):
                    self._add_files(each)
            case list():
                for each in value:
                    self._add_files(each)


def _folder(organization_id: str) -> str:
    return f"uploads/{organization_id}/"


def _payload(row: JobRequest) -> Any:
    try:
        return blobs.get(row.payload, row.payload_key)
    except MissingObject:
        return None  # no worker can run this job anymore


def _jobs(organization_id: str) -> Iterator[JobRequest]:
    """Yield an organization's jobs, newest first."""
    cursor = None
    while True:
        page = queries.page(organization_id, limit=_PAGE, cursor=cursor)
        yield from page.jobs
        cursor = page.cursor
        if cursor is None:
            return


def _schedules(organization_id: str) -> Iterator[schedules.Schedule]:
    cursor = None
    while True:
        found, cursor = schedules.page(organization_id, limit=_PAGE, cursor=cursor)
        yield from found
        if cursor is None:
            return
