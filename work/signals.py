"""What ends a job from outside. Not an Exception: neither a job nor botocore may swallow it."""


class ClaimLost(BaseException):
    """The row is no longer ours: another invocation, or a person, has moved it on."""
