"""The error groups of an organization: its failed jobs, grouped by what failed.

The jobs of a group have the same type, and failed with the same kind of error in the same function
of the app. Each group is an item of the coordination table. Its count is approximate: each process
writes it at most once a second, and without a transaction.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.settings import build_id, settings
from job_runners.store.job_request import JobRequest
from job_runners.store.table import CoordinationItem, Integer, nullable, set_or_remove

# Callers find jobs through their group, so a group is kept longer than its jobs. Some more time is
# needed because not every failure updates the group's item.
_EXTRA_LIFETIME = 7 * clock.DAY
MAX_LISTED = 500  # per organization
_MAX_NAME_LENGTH = 200  # characters of the names of an error's class and of a function


def partition_of(organization_id: str) -> str:
    """Return the DynamoDB partition of an organization's error groups."""
    return f"failures#{organization_id}"


class ErrorGroup(CoordinationItem):
    """A group of failed jobs."""

    counted_as = "failures"
    partition_of = staticmethod(partition_of)

    pk = UnicodeAttribute(hash_key=True)  # "failures#" and the organization
    sk = UnicodeAttribute(range_key=True)  # the fingerprint's `key`
    id = UnicodeAttribute()  # random, so that it doesn't reveal which function failed
    job_type = UnicodeAttribute()
    error_kind = UnicodeAttribute()  # the error's class name
    frame = nullable(UnicodeAttribute())  # the function that failed, as module:function
    first_seen_at = Integer()
    last_seen_at = Integer()
    failures = Integer()  # approximate
    first_build = UnicodeAttribute()  # the build of the code that ran at the first failure
    sample_job_id = UnicodeAttribute()  # the job that failed last
    note = nullable(UnicodeAttribute())
    # Set when an operator marks the group as resolved. Removed when another job of the group fails.
    resolved_at = nullable(Integer())
    resolved_by = nullable(UnicodeAttribute())  # as "role:name"
    regressed_at = nullable(Integer())  # when a job failed although the group was resolved
    expires_at = Integer()  # in seconds, for TTL


class Fingerprint(NamedTuple):
    """What all jobs of a group have in common."""

    job_type: str
    error_kind: str
    frame: str | None  # the function that failed; None if it isn't one of the app's

    @property
    def key(self) -> str:
        """Return a hash of the fingerprint."""
        return sha256(json.dumps(self).encode()).hexdigest()[:32]


class Groups(NamedTuple):
    """The groups of an organization, most recently seen first."""

    groups: list[ErrorGroup]
    complete: bool  # False if some groups are left out


def fingerprint_of(job: JobRequest) -> Fingerprint:
    """Return the fingerprint of a failed job."""
    error: Mapping[str, Any] = job.error or {}
    kind = str(error.get("kind", ""))[:_MAX_NAME_LENGTH]
    frame = error.get("frame")
    if frame is not None:
        frame = str(frame)[:_MAX_NAME_LENGTH]
    return Fingerprint(job.job_type, kind, frame)


def add(job: JobRequest, failures: int, group_id: str) -> ErrorGroup:
    """Add this many failures to the group of a failed job, and return the group.

    If the group is new, it gets the id `group_id`.
    """
    now = clock.now()
    fingerprint = fingerprint_of(job)
    group = ErrorGroup(partition_of(job.organization_id), fingerprint.key)
    build = build_id() or "unknown"
    lifetime = settings().retention_days * clock.DAY + _EXTRA_LIFETIME
    actions: list[Action] = [
        # pynamodb writes `|` as `if_not_exists`: a value that is already stored stays.
        ErrorGroup.id.set(ErrorGroup.id | group_id),
        ErrorGroup.first_seen_at.set(ErrorGroup.first_seen_at | now),
        ErrorGroup.first_build.set(ErrorGroup.first_build | build),
        ErrorGroup.job_type.set(fingerprint.job_type),
        ErrorGroup.error_kind.set(fingerprint.error_kind),
        set_or_remove(ErrorGroup.frame, fingerprint.frame),
        ErrorGroup.last_seen_at.set(now),
        ErrorGroup.sample_job_id.set(job.id),
        ErrorGroup.expires_at.set(clock.expiry(lifetime)),
        ErrorGroup.failures.add(failures),
    ]
    group.update(actions)
    return group


def mark_regressed(group: ErrorGroup) -> bool:
    """Mark a resolved group as failing again. Return False if another process has changed it."""
    actions: list[Action] = [
        ErrorGroup.regressed_at.set(clock.now()),
        ErrorGroup.resolved_at.remove(),
        ErrorGroup.resolved_by.remove(),
    ]
    is_unchanged = ErrorGroup.resolved_at == group.resolved_at
    return try_write(lambda: group.update(actions, is_unchanged))


def of_organization(organization_id: str, *, fresh: bool = False) -> Groups:
    """Return up to MAX_LISTED groups of an organization. The read is consistent if `fresh`."""
    not_expired = ErrorGroup.expires_at > clock.now() // clock.SECOND
    query = ErrorGroup.query(
        partition_of(organization_id),
        filter_condition=not_expired,
        limit=MAX_LISTED + 1,
        consistent_read=fresh,
    )
    groups = list(query)
    newest_first = sorted(groups[:MAX_LISTED], key=lambda group: group.last_seen_at, reverse=True)
    return Groups(newest_first, complete=len(groups) <= MAX_LISTED)


def find(organization_id: str, group_id: str) -> ErrorGroup | None:
    """Return the group with this id, or None."""
    groups = of_organization(organization_id, fresh=True).groups
    return next((group for group in groups if group.id == group_id), None)


def change(group: ErrorGroup, changes: Mapping[str, Any], *, by: str | None) -> bool:
    """Change a group. Return False if it is gone.

    `changes` may have a new `note`, and `resolved`: whether the group now counts as resolved.
    """
    actions: list[Action] = []
    if "note" in changes:
        actions.append(set_or_remove(ErrorGroup.note, changes["note"] or None))
    is_resolved = changes.get("resolved")
    if is_resolved is not None:
        actions.append(set_or_remove(ErrorGroup.resolved_at, clock.now() if is_resolved else None))
        actions.append(set_or_remove(ErrorGroup.resolved_by, by if is_resolved else None))
        actions.append(ErrorGroup.regressed_at.remove())
    return try_write(lambda: group.update(actions, ErrorGroup.id == group.id))
