"""The built-in jobs: their names, functions and rules.

Each function is given as text, `module:function`. Its module is imported when the job first runs.
"""

from job_runners.shipped.jobs.names import Jobs
from job_runners.work import Job, Retry
from job_runners.work.definitions import DAY_IN_SECONDS, InternalJob

JOBS: dict[str, Job] = {
    # Only the API can dispatch batches, because only POST /batches checks the members.
    Jobs.BATCH: InternalJob(
        "job_runners.shipped.jobs.batch:batch",
        retry=Retry(max_attempts=5),
        queue_name="batches",
        dispatched_by=(InternalJob.API,),
    ),
    # Saved only as a follow-up of another job. It dispatches deliveries to webhooks.
    Jobs.ANNOUNCE: InternalJob(
        "job_runners.shipped.jobs.announce:announce",
        retry=Retry(max_attempts=10, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
    ),
    # Receivers recognize a repeated delivery by its webhook-id. The job's function chooses the
    # waits. base and cap apply only after an interrupted attempt.
    Jobs.POST_WEBHOOK: Job(
        "job_runners.shipped.jobs.post_webhook:post_webhook",
        retry=Retry(max_attempts=10, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
    ),
    Jobs.DELIVER_WEBHOOK: InternalJob(
        "job_runners.shipped.jobs.deliver_webhook:deliver_webhook",
        retry=Retry(max_attempts=10, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
        dispatched_by=(Jobs.ANNOUNCE, InternalJob.API),
    ),
}
