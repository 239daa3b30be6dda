"""The names of the built-in tasks."""

from enum import StrEnum


class Tasks(StrEnum):
    """A task's name, as callers pass it. No task is built in yet: the built-in work must not be
    lost, so it is jobs."""
