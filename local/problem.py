"""What can go wrong with the local AWS, said to a person."""


class LocalProblem(Exception):
    """The local AWS can't do what was asked; the message says why and what to do."""
