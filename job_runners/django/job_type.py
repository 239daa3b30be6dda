"""Define job types that run Django's tasks. The API, which has no Django, imports this module."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from job_runners.errors import InvalidDefinition
from job_runners.work import entries
from job_runners.work.definitions import Job
from job_runners.work.retry import Retry

if TYPE_CHECKING:
    from job_runners.work.running_job import RunningJob

_PATH = r"^[^\W\d]\w*(\.[^\W\d]\w*)+$"
# The most attempts that @max_attempts can set if `django_task` gets no `retry`.
_MAX_ATTEMPTS = 20


class NoArguments(BaseModel):
    """The payload of a type that always makes the same call."""


class TaskCall(NoArguments):
    """The payload of a job that calls a task. The worker's backend checks it before the call."""

    task: Annotated[str, Field(max_length=500, pattern=_PATH)]
    args: list[Any] = []
    keywords: dict[str, Any] = {}  # pydantic's plugin for mypy allows no field named kwargs
    backend: str = "default"
    queue: str = "default"
    deferred: bool = False
    signature: str = ""


class DjangoTask(Job):
    """A job type that runs Django's tasks.

    With `fixed_call`, its payload is empty, and it always makes this call, for example on a
    schedule.
    """

    fixed_call: TaskCall | None = None

    # Refuse a queue that only the site's settings have: in the stack, it would have no limits.
    only_allowed_queues: ClassVar[bool] = True

    def run(self, running: "RunningJob", payload: BaseModel) -> Any:
        """Call the task and return what it returns."""
        return self.call(running, self.fixed_call or payload)


def django_task(
    task: str | None = None,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    backend: str = "default",
    **options: Any,
) -> Job:
    """Return the definition of a job type that runs Django's tasks.

    `options` are those of `Job`. `retry` sets how long to wait between attempts, and how many
    attempts a task may ask for with `max_attempts`. A task that doesn't ask has one.

    With `task`, the path of a task such as "shop.tasks.clean_up", the type calls only this task,
    with these arguments, for example in `RECURRING`. `retry` then sets its attempts.
    """
    if task is None:
        if args or kwargs:
            raise InvalidDefinition("django_task: arguments need the path of a task")
        options.setdefault("retry", Retry(max_attempts=_MAX_ATTEMPTS))
        job = DjangoTask("job_runners.django.worker:run_task", **options)
    else:
        fields = {"task": task, "args": list(args), "keywords": dict(kwargs or {})}
        call = TaskCall.model_validate({**fields, "backend": backend})
        job = DjangoTask("job_runners.django.worker:run_fixed_task", fixed_call=call, **options)
    vars(job)["_declared_in"] = entries.caller_outside(
        __file__
    )  # errors then name the app's file, not this one
    return job
