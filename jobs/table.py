"""What can run as a job: each name with its function and the rules it runs under.

A function is named by its module, which is imported when the job first runs.
"""

from typing import TYPE_CHECKING

from jobs.names import Jobs
from work import Job, Queue, Rate, Retry, Unique
from work.definitions import DAY_IN_SECONDS

if TYPE_CHECKING:
    from work import Recurring

# The texting campaign's: they count only while TEXTING_CAMPAIGN is true.
CAMPAIGN_JOBS = frozenset(
    {
        Jobs.IMPORT_CONTACTS,
        Jobs.ASSIGN_TEXTERS,
        Jobs.SEND_FIRST_MESSAGES,
        Jobs.EXPORT_CONTACTS,
        Jobs.REMOVE_UPLOADS,
    }
)

JOBS: dict[str, Job] = {
    # All resume at their cursor and write the same again, so another attempt does no harm.
    Jobs.IMPORT_CONTACTS: Job(
        "jobs.import_contacts:import_contacts", retry=Retry(max_attempts=5), needs_campaign=True
    ),
    Jobs.ASSIGN_TEXTERS: Job(
        "jobs.assign_texters:assign_texters",
        retry=Retry(max_attempts=5),
        queue_name="assigning",
        needs_campaign=True,
        # What is asked for while one runs is done after it: it may have passed the contacts that
        # were imported since.
        unique=Unique(by=("campaign_id",), on_conflict="replace", then="again"),
    ),
    # What it dispatches again sends nothing again.
    Jobs.SEND_FIRST_MESSAGES: Job(
        "jobs.send_first_messages:send_first_messages",
        retry=Retry(max_attempts=5),
        queue_name="first_messages",
        max_legs=100_000,  # one for each turn
        needs_campaign=True,
    ),
    Jobs.EXPORT_CONTACTS: Job(
        "jobs.export_contacts:export_contacts", retry=Retry(max_attempts=5), needs_campaign=True
    ),
    Jobs.REMOVE_UPLOADS: Job("jobs.remove_uploads:remove_uploads", retry=Retry(max_attempts=3)),
    # Receivers tell a repeated delivery by its webhook-id. It says itself how long it waits; base
    # and cap are for an attempt that was cut off. There is one more attempt than it has waits.
    Jobs.POST_WEBHOOK: Job(
        "jobs.post_webhook:post_webhook",
        retry=Retry(max_attempts=10, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
    ),
}

# Which queues have limits.
QUEUES: dict[str, Queue] = {
    # Two that assign at once would each deal out contacts that the other counts as nobody's.
    "assigning": Queue(slots=1, per="campaign_id"),
    # A turn has 20 messages, and SNS takes 20 a second of an account that asked for no more.
    "first_messages": Queue(rate=Rate(1, seconds=1), order="fair"),
}
# Those of the texting campaign: they count only while it is on.
CAMPAIGN_QUEUES = frozenset({"assigning", "first_messages"})

# What comes again and again: docs/recurring.md. Nothing does by itself: remove_uploads deletes what
# people have uploaded, and whose, and how old, is theirs to say:
#
#     "nightly_tidying": Recurring("remove_uploads", cron="0 3 * * *", organization_id="acme")
RECURRING: "dict[str, Recurring]" = {}
CAMPAIGN_RECURRING: frozenset[str] = frozenset()
