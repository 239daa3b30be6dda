"""Dispatch the members of a group: check them, then write each one's marker and its row.

The *parent* is the job that waits for the group. A *marker* is an item in the table for a member
that hasn't ended. As long as there is a marker, the parent waits. So the marker is written before
the member's row. Each marker has a random *mark*, which distinguishes it from earlier markers of
the same member.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from job_runners.engine.dispatch import bulk
from job_runners.engine.dispatch.checking import CheckedJob, check_new_job
from job_runners.engine.dispatch.dispatch import save_checked
from job_runners.engine.job_data import JobData
from job_runners.engine.wire.sending import Accepted, Send
from job_runners.errors import NotReached, UniqueConflict
from job_runners.store import groups
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest
from job_runners.store.queries import PAGE_LIMIT, read, read_many
from job_runners.store.transactions import RaceLost, RowExists
from job_runners.store.uniqueness import lost_race_error
from job_runners.work.payloads import as_object


def check(
    parent: JobRequest, group: Group, name: str, members: Mapping[str, Any], send: Send
) -> dict[str, CheckedJob]:
    """Check members, and return the checked members by key. Nothing is saved.

    `name` is the group's name. Raises UnknownJobType, InvalidPayload and pydantic's
    ValidationError.
    """
    jobs = {}
    for key, member in members.items():
        data = JobData(
            job_type=member.job_type,
            payload=as_object(member.payload),
            organization_id=parent.organization_id,
            queue_name=member.queue_name,
        )
        member_id = group.member_id(key)
        checked = check_new_job(
            data,
            send,
            job_id=member_id,
            parent_id=parent.id,
            idempotency_key=None,
            dispatched_by=parent.job_type,
        )
        member_of = group.shard_of(member_id)
        new_job = checked.new_job._replace(group_of=name, member_of=member_of)
        jobs[key] = checked._replace(new_job=new_job)
    return jobs


def already_dispatched(jobs: Mapping[str, CheckedJob]) -> set[str]:
    """Return the keys of the members that are already dispatched.

    Such a member has a row, or an item that says why it has none: the row was deleted after the
    member's end, or the unique rule of its type allowed no row.
    """
    keys_by_id = {str(job.new_job.job_id): key for key, job in jobs.items()}
    ids = list(keys_by_id)
    pages = [ids[start : start + PAGE_LIMIT] for start in range(0, len(ids), PAGE_LIMIT)]
    ids_with_row = {member_id for page in pages for member_id in read_many(page, fresh=True)}
    members_without_row = {
        member_id: str(jobs[key].new_job.member_of)
        for member_id, key in keys_by_id.items()
        if member_id not in ids_with_row
    }
    reasons_by_id = groups.reasons_for_missing_rows(members_without_row)
    return {keys_by_id[member_id] for member_id in (*ids_with_row, *reasons_by_id)}


def dispatch(jobs: Mapping[str, CheckedJob], send: Send, *, until: int) -> set[str]:
    """Save and send members. Return the keys of those that were dispatched before `until`.

    A member that its unique rule refuses counts as dispatched, and as failed.
    """
    tried_ids: set[str] = set()
    save = partial(_save, tried_ids)
    results = bulk.dispatch_jobs(list(jobs.values()), send, until=until, save=save)
    dispatched = set()
    for key, result in zip(jobs, results, strict=True):
        if isinstance(result.error, NotReached):
            continue
        if result.error is not None and not isinstance(result.error, UniqueConflict):
            raise result.error
        dispatched.add(key)
    return dispatched


def _save(tried_ids: set[str], job: CheckedJob) -> Accepted:
    """Write a new marker, and then the row. Return the new job, or an existing one.

    If an earlier try has written the row, it has also written a marker, so don't write another one.
    `tried_ids` are the ids of the members for which there was an earlier try. Raises
    UniqueConflict.
    """
    member_id = str(job.new_job.job_id)
    member_of = str(job.new_job.member_of)
    if member_id in tried_ids:
        row = read(member_id)
        if row is not None:
            return Accepted(row)
    tried_ids.add(member_id)
    mark = groups.put_marker(member_of, member_id)
    job = job._replace(new_job=job.new_job._replace(member_mark=mark))
    if job.rule is None:
        return save_checked(job)
    return _save_unique(job, member_of, member_id, mark)


def _save_unique(job: CheckedJob, member_of: str, member_id: str, mark: str) -> Accepted:
    """Save a unique member if its rule allows that. Otherwise delete its marker.

    The transaction that saves the row also checks that the marker exists. So no process can save
    the row after the marker was deleted. If an existing job is the answer, no row is saved, so the
    marker needs no check (the lambda returns no writes).
    """
    marker_check = groups.marker_check(member_of, member_id, mark)
    try:
        accepted = save_checked(job, [marker_check], lambda _row, _outcome: ())
    except RowExists as existing:
        return Accepted(existing.row)
    except RaceLost as lost:
        raise lost_race_error("save", member_id) from lost
    except UniqueConflict as refused:
        error = {"kind": type(refused).__name__, "message": str(refused)}
        groups.note_failed(member_of, member_id, error)
        groups.drop_marker(member_of, member_id, mark)
        raise
    if accepted.row.id != member_id:
        groups.note_existing(member_of, member_id, accepted.row.id)
        groups.drop_marker(member_of, member_id, mark)
    return accepted
