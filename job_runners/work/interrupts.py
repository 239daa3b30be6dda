"""The interrupts: exceptions that end a job's function from outside.

They aren't subclasses of Exception, because a job's own `except Exception` would catch those, and
botocore would retry an HTTP call after one.
"""

from job_runners.store.pauses import Pause


class ClaimLostInterrupt(BaseException):
    """This invocation no longer has the job: another invocation or a caller has changed its row."""


class CancelInterrupt(BaseException):
    """A caller has canceled the job, and the job has just checkpointed."""


class InvocationOverInterrupt(BaseException):
    """Little time is left, and the job has just checkpointed.

    The next invocation continues from there.
    """


class TurnOverInterrupt(BaseException):
    """The job has yielded its slot. It continues when its queue admits it again."""


class WaitInterrupt(BaseException):
    """The job waits in its function. It continues later in another invocation.

    Its subclasses are in `job_runners.work.waiting`, because most jobs don't wait.
    """


class PauseInterrupt(BaseException):
    """The job's type or queue is paused, and the job has just checkpointed. It continues later."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(pause.sk)
        self.pause = pause


class TimeOverInterrupt(BaseException):
    """The job's time is over, by its own timeout or just before the invocation's deadline."""
