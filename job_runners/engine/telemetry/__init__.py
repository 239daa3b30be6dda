"""Logs, metrics, traces and output of work."""
