"""The checks of `jobs doctor`: a stack's settings and state."""
