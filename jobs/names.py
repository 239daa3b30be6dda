"""The name of every job that ships here."""

from enum import StrEnum


class Jobs(StrEnum):
    """A job's name, as callers write it."""

    IMPORT_CONTACTS = "import_contacts"  # a CSV file's rows become a campaign's contacts
    ASSIGN_TEXTERS = "assign_texters"  # a campaign's contacts are split over its texters
    SEND_FIRST_MESSAGES = "send_first_messages"  # its assigned contacts are texted, one task each
    POST_WEBHOOK = "post_webhook"  # another system is told of an event, signed, for three days
    EXPORT_CONTACTS = "export_contacts"  # a campaign's contacts become a CSV file
    REMOVE_UPLOADS = "remove_uploads"  # an organisation's old files that no job needs are removed
