"""Define job types that run Django's tasks. The API, which has no Django, imports this module."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from job_runners.errors import InvalidDefinition
from job_runners.work import function_names
from job_runners.work.definitions import Job
from job_runners.work.retry import Retry

if TYPE_CHECKING:
    from job_runners.work.running_job import RunningJob

_DOTTED_PATH = r"^[^\W\d]\w*(\.[^\W\d]\w*)+$"
_MAX_ATTEMPTS = 20  # the most that @max_attempts can set if `django_task` has no `retry`


class NoArguments(BaseModel):
    """The payload of a job type that always makes the same call."""


class TaskCall(NoArguments):
    """The payload of a job that calls a task. The worker checks its signature before the call."""

    task: Annotated[str, Field(max_length=500, pattern=_DOTTED_PATH)]
    args: list[Any] = []
    keywords: dict[str, Any] = {}  # pydantic's plugin for mypy allows no field named kwargs
    backend: str = "default"
    queue: str = "default"
    deferred: bool = False
    signature: str = ""


class DjangoTask(Job):
    """A job type that runs Django's tasks.

    If `fixed_call` is set, each job makes this call, and its payload is empty.
    """

    fixed_call: TaskCall | None = None

    # Refuse a queue that only the site's settings name, because the stack has no limits for it.
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
    """Define a job type that runs Django's tasks.

    `options` are those of `Job`. `retry` sets how long to wait between attempts, and how many
    attempts a task may request with `max_attempts`. Other tasks have one attempt.

    With `task`, the path of a task such as "shop.tasks.clean_up", the job type calls only this
    task, with these arguments, for example on a schedule. `retry` then sets its attempts.
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
    # Errors name the place of the definition, which is the app's file and not this one.
    vars(job)["_declared_in"] = function_names.caller_outside(__file__)
    return job
