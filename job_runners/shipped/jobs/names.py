"""The names of the built-in jobs."""

from enum import StrEnum

BATCH_GROUP = "members"  # the name of the group of a batch


class Jobs(StrEnum):
    """A job's name, as callers pass it."""

    POST_WEBHOOK = "post_webhook"  # sends a signed event to another system; tries for 3 days
    ANNOUNCE = "announce"  # tells webhooks, an event bus or a topic that a job has ended
    DELIVER_WEBHOOK = "deliver_webhook"  # sends an event to a webhook of the organization
    BATCH = "batch"  # dispatches many jobs, waits until all have ended, and dispatches another one
