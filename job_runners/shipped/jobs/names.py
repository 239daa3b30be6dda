"""The names of the built-in jobs."""

from enum import StrEnum

BATCH_GROUP = "members"  # the name of the group of a batch


class Jobs(StrEnum):
    """A job's name, as callers pass it."""

    IMPORT_CONTACTS = "import_contacts"  # imports a campaign's contacts from a CSV file
    IMPORT_CONTACTS_PART = "import_contacts_part"  # imports a part of a large file
    ASSIGN_TEXTERS = "assign_texters"  # splits a campaign's contacts between its texters
    SEND_FIRST_MESSAGES = "send_first_messages"  # texts the assigned contacts
    SEND_FIRST_MESSAGES_TURN = "send_first_messages_turn"  # texts some of them
    POST_WEBHOOK = "post_webhook"  # sends a signed event to another system; tries for 3 days
    ANNOUNCE = "announce"  # tells webhooks, an event bus or a topic that a job has ended
    DELIVER_WEBHOOK = "deliver_webhook"  # sends an event to a webhook of the organization
    EXPORT_CONTACTS = "export_contacts"  # exports a campaign's contacts to a CSV file
    REMOVE_UPLOADS = "remove_uploads"  # removes an organization's old files that no job needs
    BATCH = "batch"  # dispatches many jobs, waits until all have ended, and dispatches another one
