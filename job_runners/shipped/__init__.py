"""The built-in jobs and tasks, and what they are made of."""
