"""The fixture `hostile`: runs a job of yours many times, with a different fault each time."""

from job_runners.testing.hostile.effects import Effects
from job_runners.testing.hostile.hostile import Hostile
from job_runners.testing.hostile.report import Play, Report

__all__ = ["Effects", "Hostile", "Play", "Report"]
