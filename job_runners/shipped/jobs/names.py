"""The names of the built-in jobs."""

from enum import StrEnum

BATCH_GROUP = "members"  # the name of the group that a batch's members form


class Jobs(StrEnum):
    """A built-in job's name, as callers pass it."""

    POST_WEBHOOK = "post_webhook"  # sends a signed event to a URL; retries for 3 days
    ANNOUNCE = "announce"  # tells webhooks, the event bus and the topic that a job has ended
    DELIVER_WEBHOOK = "deliver_webhook"  # sends an event to one of the organization's webhooks
    BATCH = "batch"  # dispatches many jobs, waits for them, and dispatches a final job
