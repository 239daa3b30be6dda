"""The names of the built-in tasks."""

from enum import StrEnum


class Tasks(StrEnum):
    """A built-in task's name, as callers pass it.

    There are none yet, because tasks can be lost, and built-in work must not be.
    """
