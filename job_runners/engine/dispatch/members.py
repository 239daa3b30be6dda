"""Dispatch the members of a group: check them, then put each one's marker before its row."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

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


def check(
    parent: JobRequest, group: Group, name: str, members: Mapping[str, Any], send: Send
) -> dict[str, CheckedJob]:
    """Check the members with these keys, and return the jobs to save, by key. Nothing is saved.

    Raises UnknownJobType, InvalidPayload and pydantic's ValidationError.
    """
    return {key: _check(parent, group, name, key, each, send) for key, each in members.items()}


def _check(
    parent: JobRequest, group: Group, name: str, key: str, member: Any, send: Send
) -> CheckedJob:
    data = JobData(
        job_type=member.job_type,
        payload=_plain(member.payload),
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
    member_of = group.member_of(member_id)
    return checked._replace(new_job=checked.new_job._replace(group_of=name, member_of=member_of))


def _plain(payload: Any) -> dict[str, Any]:
    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json")
    return dict(payload or {})


def already_dispatched(jobs: Mapping[str, CheckedJob]) -> set[str]:
    """Return the keys of the members that are dispatched.

    Such a member has a row, and so had its marker before it. Or an item says why it has none: it
    was deleted after its end, or its unique rule gave it none.
    """
    by_id = {str(job.new_job.job_id): key for key, job in jobs.items()}
    ids = list(by_id)
    pages = [ids[start : start + PAGE_LIMIT] for start in range(0, len(ids), PAGE_LIMIT)]
    saved = {found for page in pages for found in read_many(page, fresh=True)}
    gone = {
        each: str(jobs[key].new_job.member_of) for each, key in by_id.items() if each not in saved
    }
    return {by_id[found] for found in (*saved, *groups.reasons_without_rows(gone))}


def dispatch(jobs: Mapping[str, CheckedJob], send: Send, *, until: int) -> set[str]:
    """Save and send members. Return the keys of those that were dispatched before `until`.

    A member that its unique rule refuses counts as dispatched, and as failed.
    """
    tried: set[str] = set()
    save = partial(_save, tried)
    results = bulk.dispatch_jobs(list(jobs.values()), send, until=until, save=save)
    for each in results:
        if each.error is not None and not isinstance(each.error, NotReached | UniqueConflict):
            raise each.error
    by_key = zip(jobs, results, strict=True)
    return {key for key, each in by_key if not isinstance(each.error, NotReached)}


def _save(tried: set[str], job: CheckedJob) -> Accepted:
    """Put a fresh marker, and then the row. Return the new job, or an existing one.

    A row that exists had a marker before it, so it needs no other one. Raises UniqueConflict.
    """
    member_id, member_of = str(job.new_job.job_id), str(job.new_job.member_of)
    if member_id in tried and (row := read(member_id)) is not None:
        return Accepted(row)
    tried.add(member_id)
    mark = groups.put_marker(member_of, member_id)
    job = job._replace(new_job=job.new_job._replace(member_mark=mark))
    if job.rule is None:
        return save_checked(job)
    return _save_unique(job, member_of, member_id, mark)


def _save_unique(job: CheckedJob, member_of: str, member_id: str, mark: str) -> Accepted:
    """Save a unique member, if its rule allows that, and delete its marker if it gets no row.

    The transaction that saves the row checks the marker. So no process saves the row after its
    marker was deleted.
    """
    check = groups.marker_check(member_of, member_id, mark)
    try:
        accepted = save_checked(job, [check], lambda _row, _outcome: ())
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
