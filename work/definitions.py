"""What a job and a task are: a function with a typed payload, and the rules it runs under."""

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import names
from errors import InvalidDefinition
from frozen_values import Value
from work import entries
from work.errors import EntryNotLoaded
from work.retry import Retry

if TYPE_CHECKING:
    from pydantic import BaseModel

    from work.running_job import RunningJob
    from work.unique import Unique

DAY_IN_SECONDS = 24 * 60 * 60.0
# The longest that work may be scheduled ahead, or wait: the bucket keeps its payload for longer.
LONGEST_WAIT = 30 * DAY_IN_SECONDS


class Definition(Value):
    """What jobs and tasks have in common: a function, or the entry that names it."""

    function: Callable[..., Any] | str
    retry: Retry | None = None

    _takes: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        vars(self)["_written_at"] = entries.caller_outside(__file__)
        if isinstance(self.function, str):
            entries.check_form(self.function)
        else:
            self.load()  # a function of the wrong shape is an error where it is written

    @property
    def written_at(self) -> entries.Place:
        """The file and the line of its declaration."""
        place: entries.Place = vars(self)["_written_at"]
        return place

    def load(self) -> None:
        """Have the function ready to be called: import its module, if it is given by name.

        Raises EntryNotLoaded, or InvalidDefinition for a function of the wrong shape that is given
        itself.
        """
        if self.payload_model and self.is_async:
            import_module("work.event_loop")  # now, and not under the alarm

    @cached_property
    def call(self) -> Callable[..., Any]:
        """The function, imported if it is given by name; raises EntryNotLoaded."""
        if isinstance(self.function, str):
            loaded = entries.load(self.function, self.written_at)
            if not callable(loaded):
                raise EntryNotLoaded(self.function, self.written_at, "that is not a function")
            function: Callable[..., Any] = loaded
            return function
        return self.function

    @cached_property
    def payload_model(self) -> "type[BaseModel]":
        """The pydantic model of its payload; raises as `load` does."""
        from work import payloads  # pydantic, which who needs the rules alone does without

        try:
            return payloads.model_of(self.call, self._takes)
        except (InvalidDefinition, NameError) as error:  # NameError: in a quoted annotation
            if isinstance(self.function, str):
                raise EntryNotLoaded(self.function, self.written_at, str(error)) from error
            raise

    def validate_new(self, name: str, payload: object) -> "BaseModel":
        """Return a payload that is to be dispatched as its model; raise InvalidPayload, also for a
        field that the model does not have."""
        from work import payloads

        return payloads.validate_new(name, self.payload_model, payload)

    def validate(self, name: str, payload: object) -> "BaseModel":
        """Return a payload that was dispatched before as its model; raise InvalidPayload."""
        from work import payloads

        return payloads.validate(name, self.payload_model, payload)

    @cached_property
    def is_async(self) -> bool:
        """Whether the function is `async def`; raises as `load` does."""
        import inspect  # which pydantic imports too: who needs the rules alone does without

        return inspect.iscoroutinefunction(self.call)

    @property
    def module(self) -> str:
        """The name of the module that its function comes from."""
        if isinstance(self.function, str):
            return self.function.partition(":")[0]
        return self.function.__module__


class Job(Definition):
    """Long-running work, tracked in a JobRequest.

    `function(job, payload)` gets a RunningJob and its payload, and returns what the row keeps as
    the job's result: JSON, a pydantic model, or None. It may be `async def`. It is given itself, or
    as "package.module:function": then its module is imported when it is first needed. Without
    `retry` it never runs twice.

    `timeout` is how many seconds one attempt may take, over all its legs (None: as long as it
    keeps checkpointing). `max_legs` bounds how often it is claimed in all. A job that nobody could
    start within `start_within` seconds of being queued fails as never started. One that
    `needs_campaign` is refused without a `campaign_id`. It is in the queue `queue_name`, or in one
    of `queues` if its caller asks for that; only services may ask for any other. With `unique`,
    one that is asked for again is not done again beside the first: see `Unique`.
    """

    function: "Callable[[RunningJob, Any], Any] | str"
    queue_name: str = "default"
    timeout: float | None = None
    max_legs: int = 200
    start_within: float = DAY_IN_SECONDS
    needs_campaign: bool = False
    queues: tuple[str, ...] = ()
    unique: "Unique | None" = None

    _takes = ("job", "payload")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not names.is_name(self.queue_name):
            raise InvalidDefinition(f"Job(queue_name={self.queue_name!r}): must be {names.RULE}")
        if not isinstance(self.queues, tuple | list):
            raise InvalidDefinition(f"Job(queues={self.queues!r}): must be a tuple of names")
        for queue in self.queues:
            if not isinstance(queue, str) or not names.is_name(queue):
                raise InvalidDefinition(f"Job(queues=): {queue!r} must be {names.RULE}")
        for name in ("timeout", "max_legs", "start_within"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InvalidDefinition(f"Job({name}={value}): must be above 0")
        if self.unique is not None:
            self._check_unique()

    def _check_unique(self) -> None:
        from work.unique import Unique  # which is imported: it was written here

        if not isinstance(self.unique, Unique):
            raise InvalidDefinition(
                f"Job(unique={self.unique!r}): must be a Unique, such as "
                'Unique(by=("campaign_id",))'
            )

    @property
    def allowed_queues(self) -> tuple[str, ...]:
        """The queues that any caller may ask for, its own first."""
        return tuple(dict.fromkeys((self.queue_name, *self.queues)))

    def run(self, running: "RunningJob", payload: "BaseModel") -> Any:
        """Return what the function returns; raise what it raises."""
        returned = self.call(running, payload)
        return _run_coroutine(returned, running) if self.is_async else returned


class Task(Definition):
    """A small fire-and-forget call: no row, no result.

    `function(payload)` gets its payload; it may be `async def`, and is given itself, or as
    "package.module:function". Without `retry` a task that fails is logged and counted, and that is
    all. Lambda may deliver any task twice: what must not happen twice is a job.
    """

    function: Callable[[Any], Any] | str

    _takes = ("payload",)

    def run(self, payload: "BaseModel") -> None:
        """Call the function; raise what it raises."""
        returned = self.call(payload)
        if self.is_async:
            _run_coroutine(returned)


def _run_coroutine(coroutine: Any, running: "RunningJob | None" = None) -> Any:
    from work import event_loop  # asyncio, which other work does without

    return event_loop.run(coroutine, running)
