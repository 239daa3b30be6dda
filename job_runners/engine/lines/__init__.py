"""Limits, lines of waiting jobs, and pauses: which job may start, and when."""
