"""Which of our files the functions contain, and where a file of a built tree comes from."""

from collections.abc import Mapping
from pathlib import Path

# The deployed sources. Everything else (tests, events, local, docs) stays out of the zip.
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
# deploy changes code and names in two calls, and a new name would fail between them.
HANDLERS = ("api", "worker", "timer", "failures")


def source_of(place: str, sources: Mapping[str, Path]) -> Path | None:
    """Return the file or folder that this path in a tree was copied from, or None.

    `sources` maps paths in the tree to the folders and files that they were copied from.
    """
    for name, source in sources.items():
        if place == name:
            return source
        if place.startswith(f"{name}/"):
            return source / place.removeprefix(f"{name}/")
    return None
