"""AROUND: context managers around each job and task, for example for an error tracker, a database
connection or a tenant's context.

They see how the job or task ends, but can't change it. They can't suppress an error or an
interrupt. If one of them fails on exit, a finished job doesn't fail.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

from job_runners.errors import InvalidDefinition
from job_runners.work import entries
from job_runners.work.errors import AroundFailed, EntryNotLoaded

_T = TypeVar("_T")


class CurrentWork(NamedTuple):
    """The job or task that a context manager surrounds."""

    kind: Literal["job", "task"]
    name: str
    id: str
    organization_id: str | None  # a task has none
    attempt: int
    invocation: int = 1  # of a job: the number of its Lambda invocations, this one included


Enter = Callable[[CurrentWork], AbstractContextManager[Any]]
Report = Callable[[AroundFailed], None]


class Around:
    """One entry of AROUND, and its place in the code."""

    def __init__(self, entry: Enter | str, place: str) -> None:
        if isinstance(entry, str):
            entries.check_form(entry)
        elif not callable(entry):
            raise InvalidDefinition(
                f"{place} must be a function that takes the current work and returns a context "
                f"manager, or name one as 'package.module:function'; it is {entry!r}"
            )
        self.entry = entry
        self.place = place

    @cached_property
    def call(self) -> Enter:
        """Return the function that makes the context manager, imported if it is given by name.
        Raises EntryNotLoaded."""
        if not isinstance(self.entry, str):
            return self.entry
        loaded = entries.load(self.entry, self.place)
        if not callable(loaded):
            raise EntryNotLoaded(self.entry, self.place, "that is not a function")
        function: Enter = loaded
        return function

    @property
    def name(self) -> str:
        """Return its name in errors."""
        return f"{self.place} ({getattr(self.entry, '__qualname__', repr(self.entry))})"


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
        _leave(entered, error, report)
        raise
    _leave(entered, None, report)
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


def _leave(
    entered: list[tuple[Around, AbstractContextManager[Any]]],
    error: BaseException | None,
    report: Report,
) -> None:
    """Leave all context managers, even if one of them fails. They see `error`, and can't suppress
    it."""
    how = (type(error), error, error.__traceback__) if error is not None else (None, None, None)
    while entered:
        around, manager = entered.pop()
        try:
            type(manager).__exit__(manager, *how)
        except BaseException as failed:  # noqa: BLE001 - even TimeOverInterrupt: the alarm rings again
            if failed is not error:
                why = AroundFailed(around.name, "after the function had ended", failed)
                why.__cause__ = failed
                report(why)
