"""Run a job of your own many times, with a different failure each time: the fixture `hostile`."""

from job_runners.testing.hostile.effects import Effects
from job_runners.testing.hostile.hostile import Hostile
from job_runners.testing.hostile.report import Play, Report

__all__ = ["Effects", "Hostile", "Play", "Report"]
