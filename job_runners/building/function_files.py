"""List the files of Job Runners that the functions contain, and find the source of a built file."""

from collections.abc import Mapping
from pathlib import Path

# The deployed sources. A function's zip contains nothing else of Job Runners.
SHIPPED = (
    "job_runners/__init__.py",
    "job_runners/api",
    "job_runners/aws",
    "job_runners/caches.py",
    "job_runners/clock.py",
    "job_runners/dashboard",
    "job_runners/django",
    "job_runners/engine",
    "job_runners/errors.py",
    "job_runners/handlers",
    "job_runners/names.py",
    "job_runners/runners",
    "job_runners/settings.py",
    "job_runners/shipped",
    "job_runners/store",
    "job_runners/values.py",
    "job_runners/work",
)
# The entry points that the template names, such as handlers.worker.handler. Don't rename them: a
# deploy updates a function's code and its settings in two calls. Between them, the function would
# have a name that its code lacks.
HANDLERS = ("api", "worker", "timer", "failures")


def source_of(path: str, sources: Mapping[str, Path]) -> Path | None:
    """Return the file or folder that a relative path in a build was copied from, or None.

    `sources` maps paths in the build to the folders and files that they were copied from.
    """
    for copy, source in sources.items():
        if path == copy:
            return source
        if path.startswith(f"{copy}/"):
            return source / path.removeprefix(f"{copy}/")
    return None
