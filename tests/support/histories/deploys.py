"""Several versions of the code at once, as during a deploy. Each invocation runs one version."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any, cast

from pydantic import Field

from histories import simulated_work
from histories.faults import Fault
from histories.simulated_work import Steps
from job_runners.engine.registry.registry import registry
from job_runners.work import Job, RunningJob, Task

_Tables = tuple[dict[str, Job], dict[str, Task]]


class Version(StrEnum):
    """The code that an invocation runs."""

    TODAY = "today's"
    WITHOUT_TYPE = "without the type of a job"
    OTHER_MODEL = "with a model that refuses payloads"
    BROKEN = "whose modules of jobs and tasks can't be imported"


_OTHERS = (Version.WITHOUT_TYPE, Version.OTHER_MODEL, Version.BROKEN)
_NOT_THERE = "histories.not_there:work"


class FewSteps(Steps):
    """A payload as an older version defined it: with fewer steps."""

    steps: int = Field(default=4, ge=0, le=3)


def take_few_steps(job: RunningJob, payload: FewSteps) -> dict[str, Any]:
    """Take the steps of a payload that FewSteps accepts."""
    return simulated_work.take_steps(job, Steps(**payload.model_dump()))


class Deploys:
    """Draws the version of each invocation when the invocation begins, and activates it.

    When another invocation runs in between, its version is active instead.
    """

    def __init__(
        self,
        fault: Callable[[Fault, str, int], bool],
        choose: Callable[[str, int], int],
        figures: Counter[str],
    ) -> None:
        self._fault = fault
        self._choose = choose
        self._figures = figures
        self._tables: dict[Version, _Tables] = {}
        self._active = Version.TODAY

    def version(self) -> Version:
        """Return the version that a new invocation runs."""
        if not self._fault(Fault.DEPLOYS, "other code", 8):
            return Version.TODAY
        self._figures["other code"] += 1
        return _OTHERS[self._choose("which code", len(_OTHERS))]

    def use(self, version: Version) -> None:
        """Activate the jobs and tasks of a version."""
        jobs, tasks = cast(_Tables, (registry().jobs, registry().tasks))
        if not self._tables:
            self._tables = _by_version(dict(jobs), dict(tasks))
        if version is not self._active:
            self._active = version
            its_jobs, its_tasks = self._tables[version]
            jobs.clear()
            jobs.update(its_jobs)
            tasks.clear()
            tasks.update(its_tasks)


def _by_version(jobs: dict[str, Job], tasks: dict[str, Task]) -> dict[Version, _Tables]:
    without = {name: job for name, job in jobs.items() if name != "hostile_once"}
    refusing = {
        name: replace(jobs[name], function=take_few_steps)
        for name in ("hostile_once", "hostile_again")
    }
    broken = (
        {name: replace(job, function=_NOT_THERE) for name, job in jobs.items()},
        {name: replace(task, function=_NOT_THERE) for name, task in tasks.items()},
    )
    return {
        Version.TODAY: (jobs, tasks),
        Version.WITHOUT_TYPE: (without, tasks),
        Version.OTHER_MODEL: (jobs | refusing, tasks),
        Version.BROKEN: broken,
    }
