"""An organisation's uploaded files that no job needs any more."""

from collections.abc import Iterator
from typing import Any

import clock
from aws import bucket
from aws.bucket import Listed
from errors import MissingObject
from store import blobs, queries, schedules
from store.job_request import JobRequest, Status

_PAGE = queries.PAGE_LIMIT
# The list of an organisation's jobs shows a new one a moment late.
_LAG = clock.MINUTE


def older_than(organization_id: str, before: int, after: str | None) -> Iterator[Listed]:
    """Yield the files uploaded before a time, in milliseconds, by their keys: those that come after
    the key `after`."""
    for file in bucket.listed(_folder(organization_id), after):
        if file.modified_at < before:
            yield file


class NeededFiles:
    """The keys of an organisation's files that are yet to be read.

    A job needs those that its payload names, until it has succeeded: one that has failed, or was
    cancelled, can be retried by hand. A schedule needs those that its payload names. What was
    needed at one look counts as needed from then on.
    """

    def __init__(self, organization_id: str) -> None:
        self._organization = organization_id
        self._keys: set[str] = set()
        self._seen_until = 0
        self._open: dict[str, int | None] = {}  # jobs that may yet run, as they were written last
        self.look_again()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def look_again(self) -> None:
        """Note what is needed now that was not at the last look.

        Schedules are put, and jobs dispatched. A job that waits, or can be retried, can be given
        another payload, however long ago it was dispatched.
        """
        since, self._seen_until = self._seen_until - _LAG, clock.now()
        for schedule in _schedules(self._organization):  # first: its next job may be its last
            self._note(schedule.payload)
        for row in queries.read_many(self._open, fresh=True).values():
            self._note_job(row)
        for row in _jobs(self._organization):
            if row.created_at < since:
                return
            self._note_job(row)

    def _note_job(self, row: JobRequest) -> None:
        """Note what a job needs, unless it was seen as it is. One that has succeeded is not given
        another payload."""
        if row.status is Status.SUCCEEDED:
            self._open.pop(row.id, None)
        elif row.id not in self._open or self._open[row.id] != row.updated_at:
            self._note(_payload(row))
            self._open[row.id] = row.updated_at

    def _note(self, value: Any) -> None:
        """Note each text in a payload that can be a file's key."""
        match value:
            case str() if value.startswith(_folder(self._organization)):
                self._keys.add(value)
            case dict():
                for each in (*value, *value.values()):
                    self._note(each)
            case list():
                for each in value:
                    self._note(each)


def _folder(organization_id: str) -> str:
    return f"uploads/{organization_id}/"


def _payload(row: JobRequest) -> Any:
    try:
        return blobs.get(row.payload, row.payload_key)
    except MissingObject:
        return None  # nothing can do this job any more


def _jobs(organization_id: str) -> Iterator[JobRequest]:
    """Yield an organisation's jobs, newest first."""
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
