"""Recurring work: schedules, and the jobs that they start."""
