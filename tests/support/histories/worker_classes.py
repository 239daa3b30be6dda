"""The worker classes of a simulated stack, and what the code of each invocation says of them.

While a deploy is under way, functions may have older code that has no classes, or newer code in
which work has moved to another class.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

from histories.faults import Fault
from histories.simulated_work import JOBS, TASKS
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.testing.aws import WORKER_ARN
from job_runners.testing.simulation.playing import CLASS_PREFIX

# The classes, and the length of an invocation, as multiples of that of the default worker.
TIMEOUTS = {"large": 1.5, "tiny": 0.5}

View = Mapping[str, str | None]
"""The class of the work of each of today's classes, as some code declares it."""

TODAY: View = {each: each for each in TIMEOUTS}
WITHOUT: View = {}
_MOVED: View = {"large": "tiny", "tiny": None}
_DECLARED = {name: work.worker for name, work in (JOBS | TASKS).items() if work.worker}


def class_of(url: str) -> str | None:
    """Return the class of the function that a call of Invoke names, or None for the default."""
    _, has_class, rest = unquote(url).partition(CLASS_PREFIX)
    return rest.partition(":")[0] if has_class else None


def arn(worker_class: str | None) -> str:
    """Return the alias by which the worker of a class is invoked."""
    return (
        WORKER_ARN.replace(":worker:", f":{CLASS_PREFIX}{worker_class}:")
        if worker_class
        else WORKER_ARN
    )


class WorkerClasses:
    """Draws the view of each invocation's code, and activates it while the invocation runs."""

    def __init__(
        self,
        fault: Callable[[Fault, str, int], bool],
        choose: Callable[[str, int], int],
        figures: Counter[str],
    ) -> None:
        self._fault, self._choose, self._figures = fault, choose, figures

    @contextmanager
    def active(self, has_classes: bool) -> Iterator[None]:
        """Act as a stack with these classes in the block, or as one without classes."""
        own = vars(settings())
        before = dict(own)
        self.use(TODAY if has_classes else WITHOUT, None)
        try:
            yield
        finally:
            self.use(TODAY, None)
            own |= before

    def view(self, worker_class: str | None) -> View:
        """Return what the code of a new invocation says. A class's worker has code with classes."""
        if not self._fault(Fault.CLASSES, "code with other classes", 5):
            return TODAY
        self._figures["other classes"] += 1
        return _MOVED if worker_class else (_MOVED, WITHOUT)[self._choose("which classes", 2)]

    def use(self, view: View, worker_class: str | None) -> None:
        """Activate the settings and definitions of a function's code."""
        own = vars(settings())
        own["worker_classes"] = tuple(TIMEOUTS) if view else None
        own["worker_class"] = worker_class
        for name, declared in _DECLARED.items():
            work = registry().jobs.get(name) or registry().tasks.get(name)
            if work is not None:
                vars(work)["worker"] = view.get(declared)
