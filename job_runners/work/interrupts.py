"""The interrupts: exceptions that end a job's function for a reason outside the function.

They aren't subclasses of Exception, because the job's own `except Exception` would catch them, and
botocore would retry the HTTP call that one of them interrupts.
"""

from job_runners.store.pauses import Pause


class Interrupt(BaseException):
    """The base class of all interrupts."""


class ClaimLostInterrupt(Interrupt):
    """This invocation lost its claim on the job: another process has changed the job's row."""


class CancelInterrupt(Interrupt):
    """A caller has canceled the job. Raised at a checkpoint."""


class InvocationOverInterrupt(Interrupt):
    """The invocation has little time left. Raised at a checkpoint.

    The next invocation continues from there.
    """


class YieldInterrupt(Interrupt):
    """The job has yielded its slot. It continues when its queue admits it again."""


class WaitInterrupt(Interrupt):
    """The job waits in its function. It continues later in another invocation.

    Its subclasses are in `job_runners.work.waiting`, because most jobs don't wait.
    """


class PauseInterrupt(Interrupt):
    """The job's type or queue is paused. Raised at a checkpoint, where the job continues later."""

    def __init__(self, pause: Pause) -> None:
        super().__init__(pause.sk)
        self.pause = pause


class TimeOverInterrupt(Interrupt):
    """The job has run out of time: its attempt timed out, or the invocation is about to end."""
