"""Connect `job_runners.store` to a stack from the operator's machine, outside a Lambda function."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.session import Session
from pynamodb.exceptions import PynamoDBException

from job_runners import settings
from job_runners.aws import clients
from job_runners.aws.errors import underlying_error


def connect(session: Session, environment: Mapping[str, str]) -> None:
    """Make the store use a session's credentials and region, and a stack's tables and bucket.

    `environment` has the variables with which the functions find the tables and the bucket.
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
