"""Problems of the local AWS, with a message for a person."""


class LocalProblem(Exception):
    """The local AWS can't do this. The message says why, and what to do."""
