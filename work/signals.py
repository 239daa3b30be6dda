"""What ends a job's call from outside.

None of them is an Exception: a job's own `except Exception` would swallow it, and so would
botocore, which answers an Exception inside an HTTP call with another try.
"""

from store.pauses import Pause


class ClaimLost(BaseException):
    """The row is no longer ours: another invocation, or a person, has moved it on."""


class CancelAsked(BaseException):
    """Its owner has asked for the job to stop, and the job has just checkpointed."""


class LegOver(BaseException):
    """Time is short and the job has just checkpointed: the next leg goes on from there."""


class TurnOver(BaseException):
    """The job has given up its turn: it goes on once its queue lets it on again."""


class Paused(BaseException):
    """Its type or its queue is paused, and the job has just checkpointed: it goes on later."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(pause.sk)
        self.pause = pause


class TimeOver(BaseException):
    """The job's time is up, by its own timeout or just before the invocation's deadline."""
