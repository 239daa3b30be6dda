"""Clear the caches of values that another process may change in AWS.

A module registers its cache when it is imported, so this module imports none of them.
"""

from collections.abc import Callable

_clear_functions: list[Callable[[], None]] = []


def register(clear: Callable[[], None]) -> Callable[[], None]:
    """Register a function that clears a cache, and return it."""
    _clear_functions.append(clear)
    return clear


def forget_all() -> None:
    """Clear all caches, so that the next use of each reads from AWS again."""
    for clear in _clear_functions:
        clear()
