"""The fixture `hostile`: a job of one's own, played with one mishap at each moment."""

from testing.hostile.effects import Effects
from testing.hostile.hostile import Hostile
from testing.hostile.report import Play, Report

__all__ = ["Effects", "Hostile", "Play", "Report"]
