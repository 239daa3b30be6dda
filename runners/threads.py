"""Start threads with a copy of their starter's context, as asyncio does with tasks.

So the logs and output of a thread belong to the job that started it. Python 3.14 can do so by
itself (`-X thread_inherit_context`), except for calls that are submitted to a pool. This changes
the whole process, so it is only for a process that runs nothing but our work: the worker.
"""

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

_OURS = "hands_on_context"


def hand_on_context() -> None:
    """Run every thread and every call that is submitted to a pool in a copy of the caller's
    context.

    Further calls change nothing.
    """
    if not getattr(sys.flags, "thread_inherit_context", False):
        _replace(threading.Thread, "start", _starting)
    _replace(ThreadPoolExecutor, "submit", _submitting)


def _replace(owner: type, name: str, wrapping: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, _OURS):
        replacement = functools.wraps(original)(wrapping(original))
        setattr(replacement, _OURS, True)
        setattr(owner, name, replacement)


def _starting(original: Callable[..., None]) -> Callable[..., None]:
    def start(self: threading.Thread) -> None:
        if getattr(self, "_context", None) is None:  # else the caller has chosen one (Python 3.14)
            self.run = functools.partial(copy_context().run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _submitting(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    def submit(
        self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **named: Any
    ) -> "Future[Any]":
        # A pool may outlive the job that started its threads with the first call.
        if _has_interpreters(self):
            return original(self, function, *args, **named)
        return original(self, copy_context().run, function, *args, **named)

    return submit


def _has_interpreters(pool: ThreadPoolExecutor) -> bool:
    """Return whether the pool's calls run in their own interpreters (Python 3.14).

    A context can't be passed to those.
    """
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(pool, module.InterpreterPoolExecutor)
