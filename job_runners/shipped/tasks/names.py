"""The names of the built-in tasks."""

from enum import StrEnum


class Tasks(StrEnum):
    """A task's name, as callers pass it."""

    SEND_MESSAGE = "send_message"  # texts one person
    SEND_FIRST_MESSAGE = "send_first_message"  # texts a contact for the first time
    POST_WEBHOOK = "post_webhook"  # sends a signed event to another system
