"""Run each job and task inside the context managers that the app lists in `AROUND`.

They may set up an error tracker, a database connection or a tenant's context. They see how the job
or task ends, but can't change it. They can't suppress an error, or an *interrupt* (the exception
that ends a job's invocation early). If they fail on exit, the finished job doesn't fail.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

from job_runners.errors import InvalidDefinition
from job_runners.work import function_names
from job_runners.work.errors import AroundFailed, FunctionNotLoaded

_T = TypeVar("_T")


class CurrentWork(NamedTuple):
    """The job or task that runs inside a context manager."""

    kind: Literal["job", "task"]
    name: str
    id: str
    organization_id: str | None  # a task has none
    attempt: int
    invocation: int = 1  # the number of the job's Lambda invocations so far, this one included


Enter = Callable[[CurrentWork], AbstractContextManager[Any]]
Report = Callable[[AroundFailed], None]


class Around:
    """One item of AROUND, which makes a context manager. Its place is like "acme.AROUND[0]"."""

    def __init__(self, source: Enter | str, place: str) -> None:
        if isinstance(source, str):
            function_names.check_form(source)
        elif not callable(source):
            raise InvalidDefinition(
                f"{place} must be a function that takes the current work and returns a context "
                f"manager, or name one as 'package.module:function'; it is {source!r}"
            )
        self.source = source
        self.place = place

    @cached_property
    def call(self) -> Enter:
        """Return the function that makes the context manager. If AROUND only names it, import it.

        Raises FunctionNotLoaded.
        """
        if not isinstance(self.source, str):
            return self.source
        loaded = function_names.load(self.source, self.place)
        if not callable(loaded):
            raise FunctionNotLoaded(self.source, self.place, "that is not a function")
        function: Enter = loaded
        return function

    @property
    def name(self) -> str:
        """Return the name that error messages use."""
        return f"{self.place} ({getattr(self.source, '__qualname__', repr(self.source))})"


def run_inside(
    arounds: Sequence[Around], work: CurrentWork, call: Callable[[], _T], report: Report
) -> _T:
    """Call `call` inside the context managers, the first one outermost, and return its result.

    Raises AroundFailed, without calling `call`, if a context manager can't be entered. If one fails
    on exit, this only calls `report` with the failure. Exceptions of `call` pass through.
    """
    entered: list[tuple[Around, AbstractContextManager[Any]]] = []
    try:
        for around in arounds:
            entered.append((around, _enter(around, work)))
        result = call()
    except BaseException as error:
        _exit_all(entered, error, report)
        raise
    _exit_all(entered, None, report)
    return result


def _enter(around: Around, work: CurrentWork) -> AbstractContextManager[Any]:
    try:
        manager = around.call(work)
        type(manager).__enter__(manager)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise AroundFailed(around.name, "before the function was called", error) from error
    return manager


def _exit_all(
    entered: list[tuple[Around, AbstractContextManager[Any]]],
    error: BaseException | None,
    report: Report,
) -> None:
    """Exit all context managers, even if one of them fails. They can't suppress `error`.

    `error` is the exception with which the call ended, or None.
    """
    exc_info: Any = (None, None, None)
    if error is not None:
        exc_info = (type(error), error, error.__traceback__)
    while entered:
        around, manager = entered.pop()
        try:
            type(manager).__exit__(manager, *exc_info)
        except BaseException as exit_error:  # noqa: BLE001 - even an interrupt: the alarm rings again
            if exit_error is not error:
                failure = AroundFailed(around.name, "after the function had ended", exit_error)
                failure.__cause__ = exit_error
                report(failure)
