"""The verbs of pausing: park and admit. Each changes the row and its entry under the pause."""

import clock
from store import conditional_write
from store.job_request import JobRequest, Lane, Status
from store.pauses import Pause, parked_entry
from store.verbs.ending import Checkpoint, checkpointed, or_stop


def park(
    job: JobRequest, pause: Pause, *, due_at: int, reached: Checkpoint | None = None
) -> JobRequest:
    """Park a job under a pause.

    It is a job that a worker could claim now, or that runs under our claim and has `reached` this
    far, or that another pause has parked until now.

    `due_at` is when the timer checks it. The row and its entry under the pause change together. If
    its owner has asked it to stop, it stops: the row returned is then cancelled.
    """
    waits = job.status is Status.WAITING
    since = (job.waiting_since if waits else None) or clock.now()
    actions = [
        *conditional_write.waiting(job, pause.sk, since, due_at),
        *(checkpointed(reached) if reached else []),
    ]
    condition = conditional_write.as_read(job) & conditional_write.not_cancelled()
    return or_stop(
        job,
        lambda: conditional_write.write_with(
            "park",
            job,
            actions,
            condition,
            already_applied=lambda row: row.status is Status.WAITING and row.held_by == pause.sk,
            put=parked_entry(pause.sk, job, since),
            drop=parked_entry(job.held_by, job, since) if job.held_by else None,
        ),
        reached=reached,
    )


def admit(job: JobRequest) -> JobRequest:
    """Queue a parked job again. The time it waited counts against none of its limits."""
    since = job.waiting_since or clock.now()
    waited = max(0, clock.now() - since)
    actions = [
        *conditional_write.queued(job, Lane.PROMPT),
        JobRequest.waiting_since.remove(),
        JobRequest.held_by.remove(),
    ]
    if job.attempt_started_at is not None:
        actions.append(JobRequest.attempt_started_at.set(job.attempt_started_at + waited))
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
        drop=parked_entry(job.held_by, job, since) if job.held_by else None,
    )
