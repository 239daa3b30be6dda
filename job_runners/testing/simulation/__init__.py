"""A simulated hostile Lambda, and checkers that watch it for violations."""
