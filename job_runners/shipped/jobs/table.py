"""The built-in jobs: their names, functions and rules.

Each function is given as text, `module:function`. Its module is imported when the job first runs.
"""

from typing import TYPE_CHECKING

from job_runners.shipped.jobs.names import Jobs
from job_runners.work import Job, Queue, Rate, Retry, Unique
from job_runners.work.definitions import DAY_IN_SECONDS, InternalJob

if TYPE_CHECKING:
    from job_runners.work import Recurring

# The jobs of the texting campaign, which exist only while TEXTING_CAMPAIGN is true.
CAMPAIGN_JOBS = frozenset(
    {
        Jobs.IMPORT_CONTACTS,
        Jobs.IMPORT_CONTACTS_PART,
        Jobs.ASSIGN_TEXTERS,
        Jobs.SEND_FIRST_MESSAGES,
        Jobs.SEND_FIRST_MESSAGES_TURN,
        Jobs.EXPORT_CONTACTS,
        Jobs.REMOVE_UPLOADS,
    }
)

JOBS: dict[str, Job] = {
    # These jobs resume at their cursor and repeat the same writes, so another attempt does no harm.
    Jobs.IMPORT_CONTACTS: Job(
        "job_runners.shipped.jobs.import_contacts:import_contacts",
        retry=Retry(max_attempts=5),
        needs_campaign=True,
    ),
    Jobs.IMPORT_CONTACTS_PART: InternalJob(
        "job_runners.shipped.jobs.import_contacts_part:import_contacts_part",
        retry=Retry(max_attempts=5),
        queue_name="importing",
        needs_campaign=True,
        dispatched_by=(Jobs.IMPORT_CONTACTS,),
    ),
    Jobs.ASSIGN_TEXTERS: Job(
        "job_runners.shipped.jobs.assign_texters:assign_texters",
        retry=Retry(max_attempts=5),
        queue_name="assigning",
        needs_campaign=True,
        # If a job is dispatched while another one runs, it starts after that job ends. The running
        # job may already have passed contacts that were imported later.
        unique=Unique(by=("campaign_id",), on_conflict="replace", then="again"),
    ),
    Jobs.SEND_FIRST_MESSAGES: Job(
        "job_runners.shipped.jobs.send_first_messages:send_first_messages",
        retry=Retry(max_attempts=5),
        max_legs=100_000,  # a job of version 0.2.0 may have had a leg for each turn
        needs_campaign=True,
    ),
    # If another attempt comes to a contact again, it doesn't send a second message.
    Jobs.SEND_FIRST_MESSAGES_TURN: InternalJob(
        "job_runners.shipped.jobs.send_first_messages_turn:send_first_messages_turn",
        retry=Retry(max_attempts=8),
        queue_name="first_messages",
        needs_campaign=True,
        dispatched_by=(Jobs.SEND_FIRST_MESSAGES,),
    ),
    Jobs.EXPORT_CONTACTS: Job(
        "job_runners.shipped.jobs.export_contacts:export_contacts",
        retry=Retry(max_attempts=5),
        needs_campaign=True,
    ),
    Jobs.REMOVE_UPLOADS: Job(
        "job_runners.shipped.jobs.remove_uploads:remove_uploads", retry=Retry(max_attempts=3)
    ),
    # POST /batches checks the members, and nothing checks them later.
    Jobs.BATCH: InternalJob(
        "job_runners.shipped.jobs.batch:batch",
        retry=Retry(max_attempts=5),
        queue_name="batches",
        dispatched_by=(InternalJob.API,),
    ),
    # Saved only as a follow-up. It dispatches its deliveries to webhooks.
    Jobs.ANNOUNCE: InternalJob(
        "job_runners.shipped.jobs.announce:announce",
        retry=Retry(max_attempts=10, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
    ),
    # Receivers recognize a repeated delivery by its webhook-id. The job's function sets its waits;
    # base and cap apply only after an interrupted attempt. There is one more attempt than waits.
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

# The limits of queues.
QUEUES: dict[str, Queue] = {
    # Two jobs that assign at once would each deal out contacts that the other counts as unassigned.
    "assigning": Queue(slots=1, per="campaign_id"),
    # A campaign's contacts are in one DynamoDB partition, which accepts 1,000 writes a second at
    # first. So more jobs at once would only be throttled.
    "importing": Queue(slots=4, per="campaign_id"),
    # A turn has 20 messages, and SNS accepts 20 per second by default.
    "first_messages": Queue(rate=Rate(1, seconds=1), order="fair"),
}
# The queues of the texting campaign, which exist only while it is on.
CAMPAIGN_QUEUES = frozenset({"assigning", "importing", "first_messages"})

# Schedules: see docs/recurring.md. None is built in. For example, remove_uploads deletes uploaded
# files, so you decide for which organization it runs, and how old the files must be:
#
#     "nightly_tidying": Recurring("remove_uploads", cron="0 3 * * *", organization_id="acme")
RECURRING: "dict[str, Recurring]" = {}
CAMPAIGN_RECURRING: frozenset[str] = frozenset()
