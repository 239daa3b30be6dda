"""The definitions of the built-in jobs.

A function is named as `module:function`, so that its module is imported only when the job runs.
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
    # Only the engine creates it, as the follow-up of a job that has ended.
    Jobs.ANNOUNCE: InternalJob(
        "job_runners.shipped.jobs.announce:announce",
        retry=Retry(max_attempts=10, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
    ),
    # The function itself chooses the waits between attempts: base and cap apply only after an
    # interrupted one. Receivers recognize a repeated event by its webhook-id.
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
