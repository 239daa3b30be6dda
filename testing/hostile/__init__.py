"""Run a job of your own with one failure at each moment: the fixture `hostile`."""

from testing.hostile.effects import Effects
from testing.hostile.hostile import Hostile
from testing.hostile.report import Play, Report

__all__ = ["Effects", "Hostile", "Play", "Report"]
