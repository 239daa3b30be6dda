"""The verbs of waiting: park and admit. Each changes the row and its entry where it waits."""

from collections.abc import Callable

from pynamodb.expressions.update import Action

import clock
from store import conditional_write, holdings
from store.conditional_write import Also
from store.job_request import LIMITED, JobRequest, Lane, Status
from store.lines import Grant, new_entry
from store.pauses import Pause, parked_entry
from store.verbs.ending import Checkpoint, checkpointed, or_stop


def park(
    job: JobRequest, pause: Pause, *, due_at: int, reached: Checkpoint | None = None
) -> JobRequest:
    """Park a job under a pause.

    It is a job that a worker could claim now, or that runs under our claim and has `reached` this
    far, or that another pause has parked until now.

    `due_at` is when the timer checks it. The row and its entry under the pause change together, and
    its slot is given back. If its owner has asked it to stop, it stops: the row returned is then
    cancelled.
    """
    waits = job.status is Status.WAITING
    since = (job.waiting_since if waits else None) or clock.now()
    actions = conditional_write.waiting(job, pause.sk, None, since, due_at)
    return _park(
        job,
        actions,
        also=[Also(parked_entry(pause.sk, job, since), "put"), *holdings.entry_dropped(job)],
        is_there=lambda row: row.held_by == pause.sk,
        reached=reached,
    )


def park_in_line(
    job: JobRequest,
    place: str,
    key: str,
    *,
    group: str,
    due_at: int,
    reached: Checkpoint | None = None,
) -> JobRequest:
    """Park a job at the end of a line, `place`, of its queue's key.

    It is a job that a worker could claim now, or that runs under our claim and has `reached` this
    far. The row and its entry change together, and its slot is given back. If its owner has asked
    it to stop, it stops: the row returned is then cancelled. Raises PreconditionFailed.
    """
    since = clock.now()
    entry = new_entry(place, group, job, since)
    actions = [
        *conditional_write.waiting(job, place, entry.sk, since, due_at),
        JobRequest.queue_key.set(key),
        JobRequest.row_version.set(LIMITED),
    ]
    return _park(
        job,
        actions,
        also=[Also(entry, "put")],
        is_there=lambda row: row.wait_key == entry.sk,
        reached=reached,
    )


def _park(
    job: JobRequest,
    actions: list[Action],
    *,
    also: list[Also],
    is_there: Callable[[JobRequest], bool],
    reached: Checkpoint | None,
) -> JobRequest:
    """Park a job if its row is as it was read, with how far it came; or stop it if its owner has
    asked for that. `is_there` tells, of a row that waits, whether it does so by this write."""
    actions = [*actions, *(checkpointed(reached) if reached else [])]
    return or_stop(
        job,
        lambda: holdings.write_freeing(
            "park",
            job,
            actions,
            conditional_write.as_read(job) & conditional_write.not_cancelled(),
            already_applied=lambda row: row.status is Status.WAITING and is_there(row),
            also=also,
        ),
        reached=reached,
    )


def admit(job: JobRequest, grant: Grant | None = None) -> JobRequest:
    """Queue a parked job again. The time it waited counts against none of its limits.

    From a line it takes the `grant` in the same transaction: raises RaceLost if somebody else was
    given that meanwhile.
    """
    since = job.waiting_since or clock.now()
    waited = max(0, clock.now() - since)
    actions = [
        *conditional_write.queued(job, Lane.PROMPT),
        *conditional_write.no_longer_parked(),
    ]
    if job.attempt_started_at is not None:
        actions.append(JobRequest.attempt_started_at.set(job.attempt_started_at + waited))
    if grant is not None:
        actions.append(JobRequest.admitted_at.set(clock.now()))
        if grant.slot is not None:
            actions.append(JobRequest.slot.set(grant.slot.number))
    return conditional_write.write_with(
        "admit",
        job,
        actions,
        conditional_write.as_read(job)
        & (JobRequest.status == Status.WAITING)
        & (JobRequest.waiting_since == job.waiting_since),
        already_applied=lambda row: (
            row.status is Status.QUEUED and row.claim_token == job.claim_token
        ),
        also=[*holdings.entry_dropped(job), *(taken(job, grant) if grant else [])],
    )


def taken(job: JobRequest, grant: Grant) -> list[Also]:
    """Return the writes by which a job takes what a decision gave it."""
    return [
        Also(item, "change", actions, as_read) for item, actions, as_read in grant.taken_by(job)
    ]
