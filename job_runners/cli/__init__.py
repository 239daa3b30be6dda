"""The command `job-runners`, which does all that the API can do from a terminal or a script."""
