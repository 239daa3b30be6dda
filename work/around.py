"""AROUND: context managers that an organisation puts around each piece of work, for an error
tracker, a database connection, a tenant's context.

They see how the work ends and change nothing about that: none can swallow an error or a signal, and
one that fails afterwards does not make a failure of work that is done.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

from errors import InvalidDefinition
from work import entries
from work.errors import AroundFailed, EntryNotLoaded

_T = TypeVar("_T")


class CurrentWork(NamedTuple):
    """The piece of work that a context manager is put around."""

    kind: Literal["job", "task"]
    name: str
    id: str
    organization_id: str | None  # a task has none
    attempt: int
    leg: int = 1  # of a job: how often it has been claimed, this time included


Enter = Callable[[CurrentWork], AbstractContextManager[Any]]
Report = Callable[[AroundFailed], None]


class Around:
    """One entry of AROUND, and where it stands."""

    def __init__(self, entry: Enter | str, place: str) -> None:
        if isinstance(entry, str):
            entries.check_form(entry)
        elif not callable(entry):
            raise InvalidDefinition(
                f"{place} must be called with the work at hand and return a context manager, "
                f"or name what is as 'package.module:function'; it is {entry!r}"
            )
        self.entry = entry
        self.place = place

    @cached_property
    def call(self) -> Enter:
        """What makes the context manager, imported if it is given by name; raises
        EntryNotLoaded."""
        if not isinstance(self.entry, str):
            return self.entry
        loaded = entries.load(self.entry, self.place)
        if not callable(loaded):
            raise EntryNotLoaded(self.entry, self.place, "that is not a function")
        made: Enter = loaded
        return made

    @property
    def name(self) -> str:
        """What it is called in an error."""
        return f"{self.place} ({getattr(self.entry, '__qualname__', repr(self.entry))})"


def run_inside(
    arounds: Sequence[Around], work: CurrentWork, call: Callable[[], _T], report: Report
) -> _T:
    """Return what `call` returns, or raise what it raises, with the context managers around it: the
    first one is the outermost.

    Raises AroundFailed if one can't be entered: then `call` was not called. Of one that fails on
    its way out `report` is told, and that is all.
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
    """Leave them all, whatever one of them does: they see the error, and can't swallow it."""
    how = (type(error), error, error.__traceback__) if error is not None else (None, None, None)
    while entered:
        around, manager = entered.pop()
        try:
            type(manager).__exit__(manager, *how)
        except BaseException as failed:  # noqa: BLE001 - an alarm too, which rings again for the next
            if failed is not error:
                why = AroundFailed(around.name, "after the function had ended", failed)
                why.__cause__ = failed
                report(why)
