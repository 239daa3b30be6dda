"""The error that a command shows to the user, and the exit codes."""

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit codes of all commands, as in `job-runners --help`."""

    DONE = 0
    REFUSED = 1  # the API refused the request; doctor: a check failed
    USAGE = 2  # wrong command line
    JOB_FAILED = 3  # watch: a job failed
    JOB_CANCELED = 4  # watch: no job failed, but one was canceled
    NO_ACCESS = 5  # missing credentials, permission or stack
    NO_ANSWER = 6  # unreachable, too slow or overloaded; a retry may succeed
    STILL_RUNNING = 7  # watch --timeout: timed out before every job finished
    INTERRUPTED = 130  # Ctrl-C


class Problem(Exception):
    """An error for the user: what went wrong, and, as a hint, how to fix it."""

    def __init__(
        self, message: str, *, hint: str = "", code: Exit = Exit.REFUSED, answer: Any = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
        self.answer = answer  # the API's JSON, if the API refused the request

    def as_json(self) -> dict[str, Any]:
        """Return the error as JSON for `--json`."""
        fields = {"error": str(self), "hint": self.hint or None, "exit_code": int(self.code)}
        if self.answer is not None:
            fields["answer"] = self.answer
        return fields


class NoMatchingId(Problem):
    """None of the searched ids starts with the user's text."""
