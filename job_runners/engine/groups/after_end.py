"""After a job's end, send the jobs that the end admitted or created, and record it in the group.

Every process that records a job's end calls this. If it is killed first, the timer does the rest.
"""

from job_runners.engine.wire.sending import Send, send_after_end
from job_runners.store.job_request import JobRequest


def after_end(row: JobRequest, send: Send) -> None:
    """Send the jobs that may start because a job ended, and record the end in the job's group.

    Do nothing if the job hasn't ended.
    """
    send_after_end(row, send)
    if row.member_of is not None and row.status.finished:
        # Imported here because most jobs are in no group.
        from job_runners.engine.groups import finishing

        finishing.member_ended(row, send)
