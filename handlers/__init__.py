"""The entry points of the Lambda functions, one module for each function.

The garbage collector is off while an entry point is imported, because it would repeatedly scan the
imported modules and find no garbage. Each entry point calls `finish_loading` when it is ready for
events.
"""

if __name__ == "handlers":  # this folder is part of the package through a link
    raise ImportError("Import job_runners.handlers, not handlers")

import gc

from job_runners.handlers.left_out import replace_modules

gc.disable()
replace_modules()


def finish_loading() -> None:
    """Turn the garbage collector on again, but let it skip the objects so far, which all stay."""
    gc.freeze()
    gc.enable()
