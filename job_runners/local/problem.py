"""The error that `job-runners run` shows as a message, without a traceback."""


class LocalProblem(Exception):
    """The local AWS can't do this. The message says why, and what to do."""
