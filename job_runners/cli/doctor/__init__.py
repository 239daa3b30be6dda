"""The checks of `job-runners doctor`: a stack's settings and state."""
