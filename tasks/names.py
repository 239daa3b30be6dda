"""The name of every task that ships here."""

from enum import StrEnum


class Tasks(StrEnum):
    """A task's name, as callers write it."""

    SEND_MESSAGE = "send_message"  # texts one person
    SEND_FIRST_MESSAGE = "send_first_message"  # texts a contact that nobody has texted yet
    POST_WEBHOOK = "post_webhook"  # tells another system of an event, signed
