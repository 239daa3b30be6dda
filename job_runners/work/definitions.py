"""`Job` and `Task`: how an app defines its work, as a function with a typed payload and settings.

A *worker class* is a separate Lambda function, declared in app.toml, for example for work that
needs more memory or time.
"""

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from job_runners import names
from job_runners.errors import InvalidDefinition
from job_runners.values import Value
from job_runners.work import function_names
from job_runners.work.errors import FunctionNotLoaded
from job_runners.work.retry import Retry

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.work.running_job import RunningJob
    from job_runners.work.unique import Unique

DAY_IN_SECONDS = 24 * 60 * 60.0
# How far ahead a job may be scheduled, and how long it may wait to start, in seconds. The bucket
# keeps payloads for longer.
MAX_WAIT = 30 * DAY_IN_SECONDS


class Definition(Value):
    """The base of jobs and tasks: a function, or its name as "package.module:function".

    `worker` is the worker class of app.toml that runs the work. None is the default worker.
    """

    function: Callable[..., Any] | str
    retry: Retry | None = None

    worker: ClassVar[str | None] = None  # a field in Job and Task, after their other fields

    _parameters: ClassVar[tuple[str, ...]]  # the names of the parameters that the function takes

    def __post_init__(self) -> None:
        # Because a Value is frozen, an ordinary assignment would fail.
        vars(self)["_declared_in"] = function_names.caller_outside(__file__)
        if isinstance(self.function, str):
            function_names.check_form(self.function)
        else:
            self.load()  # raises an error here, at the definition, if the parameters are wrong

    @property
    def declared_in(self) -> function_names.Place:
        """Return the file and line of this definition."""
        place: function_names.Place = vars(self)["_declared_in"]
        return place

    def load(self) -> None:
        """Check the function's parameters, after importing it if it is given by name.

        If it is given by name, raises FunctionNotLoaded if it can't be imported or has wrong
        parameters. Otherwise, raises InvalidDefinition for wrong parameters.
        """
        _ = self.payload_model  # reading this property checks the parameters
        if self.is_async:
            # Import this now, because the alarm could interrupt an import while the job runs.
            import_module("job_runners.work.event_loop")

    @cached_property
    def call(self) -> Callable[..., Any]:
        """Return the function, imported if it is given by name. Raises FunctionNotLoaded."""
        if isinstance(self.function, str):
            loaded = function_names.load(self.function, self.declared_in)
            if not callable(loaded):
                raise FunctionNotLoaded(self.function, self.declared_in, "that is not a function")
            function: Callable[..., Any] = loaded
            return function
        return self.function

    @cached_property
    def payload_model(self) -> "type[BaseModel]":
        """Return the pydantic model of its payload. Raises the same errors as `load`."""
        # Imported here because a process that only reads the settings of jobs doesn't need
        # pydantic.
        from job_runners.work import payloads

        try:
            return payloads.model_of(self.call, self._parameters)
        except (InvalidDefinition, NameError) as error:  # a quoted annotation raises NameError
            if isinstance(self.function, str):
                raise FunctionNotLoaded(self.function, self.declared_in, str(error)) from error
            raise

    def attempts(self, limit: int | None = None) -> int:
        """Return the maximum number of attempts, or `limit` if that is lower."""
        max_attempts = self.retry.max_attempts if self.retry else 1
        return max_attempts if limit is None else min(max_attempts, limit)

    def validate_new(self, name: str, payload: object) -> "BaseModel":
        """Return a new payload as an instance of its model.

        Raises InvalidPayload, even if the only error is a field that the model doesn't have.
        """
        from job_runners.work.payloads import validate_new

        return validate_new(name, self.payload_model, payload)

    def validate(self, name: str, payload: object) -> "BaseModel":
        """Return a payload that was dispatched earlier as an instance of its model.

        Raises InvalidPayload.
        """
        from job_runners.work.payloads import validate

        return validate(name, self.payload_model, payload)

    @cached_property
    def is_async(self) -> bool:
        """Return whether the function is `async def`. Raises the same errors as `load`."""
        import inspect  # imported here because reading a job's settings doesn't need it

        return inspect.iscoroutinefunction(self.call)

    @property
    def module(self) -> str:
        """Return the name of its function's module."""
        if isinstance(self.function, str):
            return self.function.partition(":")[0]
        return self.function.__module__


class Job(Definition):
    """The definition of a job type: long-running work whose status and result are stored.

    `function(job, payload)` takes a RunningJob and the payload, and returns the job's result: JSON,
    a pydantic model, or None. It may be `async def`. Pass the function itself, or its name as
    "package.module:function" to import its module only at the first use. Without `retry`, a job has
    one attempt.

    - `timeout`: seconds that one attempt may take, over all its invocations. With None, an attempt
      has no limit as long as it keeps checkpointing.
    - `max_invocations`: the maximum number of Lambda invocations over all attempts.
    - `start_within`: a job fails with NeverStarted if no worker starts it within this many seconds
      of being queued.
    - `queue_name`: the job's queue. Any caller may choose one of `queues` instead. Callers with
      the role `service` may choose any queue.
    - `unique`: don't run the same work twice at the same time: see `Unique`.
    - `worker`: the worker class that runs the job, such as `large` for `[workers.large]` in
      app.toml. With None, the default worker runs it.
    - `on_end`, `on_failure`: job types to dispatch when the job has ended, or has failed. Their
      payload is a `JobEnded`.
    """

    function: "Callable[[RunningJob, Any], Any] | str"
    queue_name: str = "default"
    timeout: float | None = None
    max_invocations: int = 200
    start_within: float = DAY_IN_SECONDS
    queues: tuple[str, ...] = ()
    unique: "Unique | None" = None
    on_end: str | None = None
    on_failure: str | None = None
    worker: str | None = None  # type: ignore[misc]

    # Whether callers with the role `service` may choose only `queue_name` and `queues` too.
    only_allowed_queues: ClassVar[bool] = False

    _parameters = ("job", "payload")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not names.is_name(self.queue_name):
            raise InvalidDefinition(f"Job(queue_name={self.queue_name!r}): must be {names.RULE}")
        if not isinstance(self.queues, tuple | list):
            raise InvalidDefinition(f"Job(queues={self.queues!r}): must be a tuple of names")
        for queue in self.queues:
            if not isinstance(queue, str) or not names.is_name(queue):
                raise InvalidDefinition(f"Job(queues=): {queue!r} must be {names.RULE}")
        for name in ("on_end", "on_failure"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidDefinition(f"Job({name}={value!r}): must be the name of a job type")
        for name in ("timeout", "max_invocations", "start_within"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InvalidDefinition(f"Job({name}={value}): must be above 0")
        if self.unique is not None:
            self._check_unique()

    def _check_unique(self) -> None:
        from job_runners.work.unique import Unique  # imported here because most jobs have none

        if not isinstance(self.unique, Unique):
            raise InvalidDefinition(
                f'Job(unique={self.unique!r}): must be a Unique, such as Unique(by=("list_id",))'
            )

    @property
    def allowed_queues(self) -> tuple[str, ...]:
        """Return the queues that any caller may choose, the job's own first."""
        return tuple(dict.fromkeys((self.queue_name, *self.queues)))

    @property
    def follow_ups(self) -> dict[str, str]:
        """Return the job types of its follow-ups, by kind: "on_end" or "on_failure"."""
        follow_ups = {"on_end": self.on_end, "on_failure": self.on_failure}
        return {kind: job_type for kind, job_type in follow_ups.items() if job_type is not None}

    def run(self, running: "RunningJob", payload: "BaseModel") -> Any:
        """Run the function and return its result. Exceptions of the function pass through."""
        returned = self.call(running, payload)
        return _run_coroutine(returned, running) if self.is_async else returned


class InternalJob(Job):
    """A job that only other jobs may dispatch, for a function that trusts its payload.

    Requests, reruns, schedules and follow-ups of this type are refused. A failed job can be retried
    with its own payload.

    - `dispatched_by`: the job types that may dispatch it as their child or as a member of a group.
      A built-in job that an endpoint dispatches also names `API`.
    """

    dispatched_by: tuple[str, ...] = ()

    API: ClassVar[str] = "the API"


class Task(Definition):
    """A small fire-and-forget call, without a row or a result.

    `function(payload)` takes the payload. It may be `async def`. Pass the function itself, or its
    name as "package.module:function". Without `retry`, a failed task is only logged and counted.
    `worker` is the worker class that runs it, as for a job. Lambda may deliver any task twice. If
    that matters, use a job.
    """

    function: Callable[[Any], Any] | str
    worker: str | None = None  # type: ignore[misc]

    _parameters = ("payload",)

    def run(self, payload: "BaseModel") -> None:
        """Run the function. Exceptions of the function pass through."""
        returned = self.call(payload)
        if self.is_async:
            _run_coroutine(returned)


def _run_coroutine(coroutine: Any, running: "RunningJob | None" = None) -> Any:
    from job_runners.work import event_loop  # imported here because it imports asyncio

    return event_loop.run(coroutine, running)
