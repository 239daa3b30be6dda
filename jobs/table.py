"""What can run as a job: each name with its function and the rules it runs under."""

from jobs.assign_texters import assign_texters
from jobs.export_contacts import export_contacts
from jobs.import_contacts import import_contacts
from jobs.names import Jobs
from jobs.post_webhook import MAX_ATTEMPTS, post_webhook
from jobs.send_first_messages import send_first_messages
from work import Job, Retry
from work.definitions import DAY_IN_SECONDS

# The texting campaign's: they count only while TEXTING_CAMPAIGN is true.
CAMPAIGN_JOBS = frozenset(
    {
        Jobs.IMPORT_CONTACTS,
        Jobs.ASSIGN_TEXTERS,
        Jobs.SEND_FIRST_MESSAGES,
        Jobs.EXPORT_CONTACTS,
    }
)

JOBS: dict[str, Job] = {
    # All resume at their cursor and write the same again, so another attempt does no harm.
    Jobs.IMPORT_CONTACTS: Job(import_contacts, retry=Retry(max_attempts=5), needs_campaign=True),
    Jobs.ASSIGN_TEXTERS: Job(assign_texters, retry=Retry(max_attempts=5), needs_campaign=True),
    # What it dispatches again sends nothing again.
    Jobs.SEND_FIRST_MESSAGES: Job(
        send_first_messages, retry=Retry(max_attempts=5), needs_campaign=True
    ),
    Jobs.EXPORT_CONTACTS: Job(export_contacts, retry=Retry(max_attempts=5), needs_campaign=True),
    # Receivers tell a repeated delivery by its webhook-id. It says itself how long it waits; base
    # and cap are for an attempt that was cut off.
    Jobs.POST_WEBHOOK: Job(
        post_webhook,
        retry=Retry(max_attempts=MAX_ATTEMPTS, base=60, cap=DAY_IN_SECONDS),
        queue_name="webhooks",
    ),
}
