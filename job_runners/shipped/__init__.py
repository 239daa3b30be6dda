"""The built-in jobs and tasks."""
