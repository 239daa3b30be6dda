"""The names of the built-in tasks."""

from enum import StrEnum


class Tasks(StrEnum):
    """A task's name, as callers pass it.

    No task is built in yet, because tasks can be lost and the built-in work must not be.
    """
