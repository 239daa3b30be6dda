"""The entry points of the Lambda functions, one module for each function.

The garbage collector is off while an entry point is imported, because it would repeatedly scan the
imported modules and find no garbage. Each entry point calls `finish_loading` when it is ready for
events.
"""

if __name__ == "handlers":  # job_runners/handlers is a link to this folder
    raise ImportError("Import job_runners.handlers, not handlers")

import gc

from job_runners.handlers.stand_ins import replace_modules

gc.disable()
replace_modules()


def finish_loading() -> None:
    """Turn the garbage collector on, but exempt all existing objects, which are never freed."""
    gc.freeze()
    gc.enable()
