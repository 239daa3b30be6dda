"""Let each thread run in a copy of its starter's context, as asyncio does for tasks.

The logs and output of a thread then belong to the job that started it. Python 3.14 has an option
for this (`-X thread_inherit_context`), but it doesn't cover calls that are submitted to a pool.
Because this module patches the standard library, only workers use it.
"""

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

_PATCHED = "copies_context"  # an attribute that only our replacements have


def copy_context_to_threads() -> None:
    """Run every thread, and every call that is submitted to a pool, in a copy of the context.

    The copied context belongs to the code that starts the thread or submits the call. Calling this
    again changes nothing.
    """
    if not getattr(sys.flags, "thread_inherit_context", False):
        _patch(threading.Thread, "start", _start_in_copy)
    _patch(ThreadPoolExecutor, "submit", _submit_in_copy)


def _patch(patched_class: type, method_name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a method with the wrapper that `wrap` makes, unless it was replaced before."""
    original = getattr(patched_class, method_name)
    if not hasattr(original, _PATCHED):
        replacement = functools.wraps(original)(wrap(original))
        setattr(replacement, _PATCHED, True)
        setattr(patched_class, method_name, replacement)


def _start_in_copy(original: Callable[..., None]) -> Callable[..., None]:
    def start(self: threading.Thread) -> None:
        if getattr(self, "_context", None) is None:  # Python 3.14 has a parameter `context`
            self.run = functools.partial(copy_context().run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _submit_in_copy(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    def submit(
        self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        if _has_interpreters(self):
            return original(self, function, *args, **kwargs)
        # Copy the context for each call, because a pool may outlive the job that started it.
        return original(self, copy_context().run, function, *args, **kwargs)

    return submit


def _has_interpreters(pool: ThreadPoolExecutor) -> bool:
    """Return whether the pool runs its calls in other interpreters (Python 3.14).

    A context can't be passed to another interpreter.
    """
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(pool, module.InterpreterPoolExecutor)
