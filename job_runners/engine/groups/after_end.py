"""Do what follows the end of a job: send the jobs that it admitted or saved, and note it in its
group.

Every process that records a job's end calls this. If it is killed first, the timer does the rest.
"""

from job_runners.engine.wire.sending import Send, send_after_end
from job_runners.store.job_request import JobRequest


def after_end(ended: JobRequest, send: Send | None) -> None:
    """Send the jobs that may start because a job `ended`, and note the end in the job's group.

    A job that hasn't ended changes nothing.
    """
    send_after_end(ended, send)
    if ended.member_of is not None and ended.status.finished:
        # Imported here because most jobs are in no group.
        from job_runners.engine.groups import finishing

        finishing.member_ended(ended, send)
