"""Run each thread in a copy of the context of the code that starts it, as asyncio does with tasks.

So the logs and output of a thread belong to the job that started it. Python 3.14 has an option for
this (`-X thread_inherit_context`), but it doesn't cover calls that are submitted to a pool. This
module patches the whole process, so it is only for the worker, which runs nothing but our work.
"""

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

_MARK = "copies_context"  # the attribute of our replacements that shows what they are


def copy_context_to_threads() -> None:
    """Run every thread, and every call that is submitted to a pool, in a copy of the context.

    The context is that of the caller that starts the thread or submits the call. Further calls
    change nothing.
    """
    if not getattr(sys.flags, "thread_inherit_context", False):
        _replace(threading.Thread, "start", _start_in_copy)
    _replace(ThreadPoolExecutor, "submit", _submit_in_copy)


def _replace(owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a method of a class with a wrapper of it, unless that was done before."""
    original = getattr(owner, name)
    if not hasattr(original, _MARK):
        replacement = functools.wraps(original)(wrap(original))
        setattr(replacement, _MARK, True)
        setattr(owner, name, replacement)


def _start_in_copy(original: Callable[..., None]) -> Callable[..., None]:
    def start(self: threading.Thread) -> None:
        if getattr(self, "_context", None) is None:  # in Python 3.14, callers may choose a context
            self.run = functools.partial(copy_context().run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _submit_in_copy(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    def submit(
        self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        # Copy the context for each call, because a pool may outlive the job that started it.
        if _has_interpreters(self):
            return original(self, function, *args, **kwargs)
        return original(self, copy_context().run, function, *args, **kwargs)

    return submit


def _has_interpreters(pool: ThreadPoolExecutor) -> bool:
    """Return whether the pool's calls run in their own interpreters (Python 3.14).

    A context can't be passed to another interpreter.
    """
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(pool, module.InterpreterPoolExecutor)
