"""The life of a job and a task, under any runner.

Imports go down this list: tick, schedules, running, control, dispatch, lines, configured, wire,
registry, telemetry.
"""
