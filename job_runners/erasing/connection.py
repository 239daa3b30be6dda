"""Connect the store, which usually runs in a function, to a stack from the operator's machine."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.session import Session
from pynamodb.exceptions import PynamoDBException

from job_runners import settings
from job_runners.aws import clients
from job_runners.aws.errors import underlying_error


def connect(session: Session, environment: Mapping[str, str]) -> None:
    """Use a session's credentials and region, and a stack's tables and bucket.

    `environment` names the tables and the bucket, in the same variables as the functions'.
    """
    os.environ.update(environment)
    settings.forget()
    clients.use_session(session)


@contextmanager
def client_errors() -> Iterator[None]:
    """Raise the error of an AWS client instead of pynamodb's error, which hides it."""
    try:
        yield
    except PynamoDBException as error:
        raise underlying_error(error) or error from error
