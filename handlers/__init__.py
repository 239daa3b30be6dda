"""The entry points, one for each function.

While one of them loads, the garbage collector rests: it would look through all that is imported
again and again, and find nothing. Each calls `loaded` when it is ready for events.
"""

import gc

gc.disable()


def loaded() -> None:
    """Let the garbage collector work again, and leave alone what is there by now: it stays."""
    gc.freeze()
    gc.enable()
