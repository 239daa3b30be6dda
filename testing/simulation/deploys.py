"""Code of two versions at once, as while a deploy goes through: each invocation runs one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any, cast

from pydantic import Field

from runners.registry import registry
from testing.simulation import simulated_work
from testing.simulation.faults import Fault
from testing.simulation.simulated_work import Steps
from work import Job, RunningJob

Jobs = dict[str, Job]


class Version(StrEnum):
    """Which code an invocation runs."""

    TODAY = "today's"
    WITHOUT_TYPE = "without the type of a job"
    OTHER_MODEL = "with a model that refuses payloads"


_OLDER = (Version.WITHOUT_TYPE, Version.OTHER_MODEL)


class FewSteps(Steps):
    """A payload as an older version knew it: with fewer steps."""

    steps: int = Field(default=4, ge=0, le=3)


def take_few_steps(job: RunningJob, payload: FewSteps) -> dict[str, Any]:
    """Do what the version with the other model does with what it takes."""
    return simulated_work.take_steps(job, Steps(**payload.model_dump()))


class Deploys:
    """Which version each invocation runs: drawn for it as it begins, and in force while it runs,
    but not while others run that it makes room for."""

    def __init__(
        self,
        fault: Callable[[Fault, str, int], bool],
        choose: Callable[[str, int], int],
        figures: Counter[str],
    ) -> None:
        self._fault = fault
        self._choose = choose
        self._figures = figures
        self._jobs: dict[Version, Jobs] = {}

    def version(self) -> Version:
        """Return what an invocation that begins runs."""
        if not self._fault(Fault.DEPLOYS, "older code", 8):
            return Version.TODAY
        self._figures["older code"] += 1
        return _OLDER[self._choose("which code", len(_OLDER))]

    def use(self, version: Version) -> None:
        """Put the jobs of a version in force."""
        jobs = cast(Jobs, registry().jobs)
        if not self._jobs:
            self._jobs = _by_version(dict(jobs))
        if jobs != self._jobs[version]:
            jobs.clear()
            jobs.update(self._jobs[version])


def _by_version(today: Jobs) -> dict[Version, Jobs]:
    once, again = today["hostile_once"], today["hostile_again"]
    refusing = {
        "hostile_once": replace(once, function=take_few_steps),
        "hostile_again": replace(again, function=take_few_steps),
    }
    without = {name: job for name, job in today.items() if name != "hostile_once"}
    return {
        Version.TODAY: today,
        Version.WITHOUT_TYPE: without,
        Version.OTHER_MODEL: today | refusing,
    }
