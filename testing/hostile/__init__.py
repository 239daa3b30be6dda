"""Run a job of your own many times, with a different failure each time: the fixture `hostile`."""

from testing.hostile.effects import Effects
from testing.hostile.hostile import Hostile
from testing.hostile.report import Play, Report

__all__ = ["Effects", "Hostile", "Play", "Report"]
