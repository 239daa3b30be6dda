"""What is raised when the runner or the tables of work can't be used: at start, never in a job."""

from collections.abc import Iterable, Sequence

from errors import JobRunnersError


class UnknownRunner(JobRunnersError):
    """JOB_RUNNER names neither a runner that ships here nor a module that can be imported."""

    def __init__(self, name: str, known: Iterable[str], why: str) -> None:
        super().__init__(
            f"JOB_RUNNER={name!r} is not a runner: {why}. "
            f"Use one of {', '.join(sorted(known))}, or the dotted path of your own module"
        )
        self.name = name


class IncompleteRunner(JobRunnersError):
    """The module JOB_RUNNER names lacks part of what a runner must export."""

    def __init__(self, name: str, missing: Iterable[str]) -> None:
        self.missing = sorted(missing)
        super().__init__(
            f"JOB_RUNNER={name!r} is not a runner: "
            f"its module does not define {', '.join(f'{each}()' for each in self.missing)}"
        )
        self.name = name


class RunnerNotConfigured(JobRunnersError):
    """The runner was found, but `fully_configured()` said no."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"JOB_RUNNER={name!r} is not fully configured: {why}")
        self.name = name


class BrokenEntries(JobRunnersError):
    """Jobs or tasks are given as "package.module:function", and can't be imported."""

    def __init__(self, broken: Sequence[str]) -> None:
        self.broken = broken
        count = f"{len(broken)} entries" if len(broken) > 1 else "1 entry"
        super().__init__(
            "\n  ".join([f"{count} of JOBS, TASKS and AROUND can't be loaded:", *broken])
        )


class NameTakenTwice(JobRunnersError):
    """Two tables define a job, a task or a queue of the same name."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(f"the {kind} {name!r} is defined twice: in {first} and in {second}")
        self.name = name


class FailedTaskNotFound(JobRunnersError):
    """No task that failed for good is kept under this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"there is no failed task with id {task_id!r}: it has begun again, or a week is over"
        )


class PayloadNotKept(JobRunnersError):
    """A failed task can't be sent again: what it was given is not known."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"what the task {task_id} was given was not kept, so that it can't be sent again; "
            "with KeepTaskPayloads=true (KEEP_TASK_PAYLOADS) the stack keeps it for tasks that "
            "fail from then on"
        )


class NotRedriven(JobRunnersError):
    """A failed task may not have left. Its record stays."""

    def __init__(self, task_id: str, why: Exception) -> None:
        super().__init__(f"the failed task {task_id} may not have been sent again: {why}")


class CannotBegin(JobRunnersError):
    """A failed task that was sent again has not begun: whether it may could not be written."""

    def __init__(self, task_id: str, why: Exception) -> None:
        super().__init__(f"whether the failed task {task_id} may begin is not known: {why}")
