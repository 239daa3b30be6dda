"""What can go wrong, said to a person, and the exit codes that say it to a script."""

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """What a script can tell apart. `jobs --help` shows this list."""

    DONE = 0
    REFUSED = 1  # what was asked for can't be done; doctor: something is wrong
    USAGE = 2  # the command line is wrong
    JOB_FAILED = 3  # watch: a job failed
    JOB_CANCELLED = 4  # watch: none failed, but one was cancelled
    NO_ACCESS = 5  # no credentials, no permission, no such stack
    NO_ANSWER = 6  # out of reach, too slow or overloaded: trying again may help
    STILL_RUNNING = 7  # watch --timeout: the time is over and a job is not
    INTERRUPTED = 130  # Ctrl-C


class Problem(Exception):
    """The command can't do what was asked. `hint` says what to do about it."""

    def __init__(
        self, message: str, *, hint: str = "", code: Exit = Exit.REFUSED, answer: Any = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
        self.answer = answer  # the API's own words, if it was the API that refused

    def as_json(self) -> dict[str, Any]:
        """Return the same for a program."""
        value = {"error": str(self), "hint": self.hint or None, "exit_code": int(self.code)}
        return value | ({"answer": self.answer} if self.answer is not None else {})


class NoneStartsSo(Problem):
    """No id that the command can look up starts with these characters."""
