"""A simulated hostile Lambda. The checkers that watch it are in tests/support/histories."""
