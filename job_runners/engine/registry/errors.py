"""Errors about runners, about definitions (JOBS, TASKS, QUEUES ...), and about failed tasks.

The errors about runners and definitions are raised when a process starts, never in a job.
"""

from collections.abc import Iterable, Sequence

from job_runners.errors import JobRunnersError


class UnknownRunner(JobRunnersError):
    """JOB_RUNNER names neither a built-in runner nor a module that can be imported."""

    def __init__(self, name: str, built_in: Iterable[str], why: str) -> None:
        super().__init__(
            f"JOB_RUNNER={name!r} is not a runner: {why}. "
            f"Use one of {', '.join(sorted(built_in))}, or the dotted path of your own module"
        )


class IncompleteRunner(JobRunnersError):
    """The module that JOB_RUNNER names lacks functions that a runner must have."""

    def __init__(self, name: str, missing: Iterable[str]) -> None:
        self.missing = sorted(missing)
        functions = ", ".join(f"{function}()" for function in self.missing)
        super().__init__(
            f"JOB_RUNNER={name!r} is not a runner: its module does not define {functions}"
        )


class RunnerNotConfigured(JobRunnersError):
    """The runner was found, but its `fully_configured()` returned False or raised an error."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"JOB_RUNNER={name!r} is not fully configured: {why}")


class FunctionsNotLoaded(JobRunnersError):
    """Some of the functions that JOBS, TASKS and AROUND name can't be imported.

    Each of `broken` describes one of them.
    """

    def __init__(self, broken: Sequence[str]) -> None:
        count = f"{len(broken)} functions" if len(broken) > 1 else "1 function"
        super().__init__(
            "\n  ".join([f"{count} of JOBS, TASKS and AROUND can't be loaded:", *broken])
        )


class NameTakenTwice(JobRunnersError):
    """Two modules define a job, task or queue with the same name."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(f"the {kind} {name!r} is defined twice: in {first} and in {second}")


class FailedTaskNotFound(JobRunnersError):
    """There is no record of a failed task with this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"No failed task has the id {task_id!r}. "
            "It has started again, or it failed more than a week ago."
        )


class PayloadNotKept(JobRunnersError):
    """A failed task can't be sent again, because its record has no payload."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"Task {task_id} can't be resent, because its payload was not kept. "
            "Set KeepTaskPayloads=true (KEEP_TASK_PAYLOADS) to keep future payloads."
        )


class MaybeNotRedriven(JobRunnersError):
    """It is unknown whether a failed task was sent again, so its record is kept."""

    def __init__(self, task_id: str, why: Exception) -> None:
        super().__init__(f"It is unknown whether the failed task {task_id} was resent: {why}")


class NotForwarded(JobRunnersError):
    """The default worker received a task of a worker class, and could not send it there.

    A worker class is a second worker function, which runs some of the jobs and tasks.
    """

    def __init__(self, task_id: str, why: Exception) -> None:
        super().__init__(f"Task {task_id} wasn't sent on to its worker class: {why}")


class CannotBegin(JobRunnersError):
    """A failed task was sent again, but its function wasn't called.

    The worker couldn't record the start, so another delivery may already have begun the task.
    """

    def __init__(self, task_id: str, why: Exception) -> None:
        super().__init__(f"It is unknown whether the failed task {task_id} may start: {why}")
