"""What ends a job's call from outside.

None of them is an Exception: a job's own `except Exception` would swallow it, and so would
botocore, which answers an Exception inside an HTTP call with another try.
"""


class ClaimLost(BaseException):
    """The row is no longer ours: another invocation, or a person, has moved it on."""


class LegOver(BaseException):
    """Time is short and the job has just checkpointed: the next leg goes on from there."""


class TimeOver(BaseException):
    """The job's time is up, by its own timeout or just before the invocation's deadline."""
