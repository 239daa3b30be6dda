"""Call the API of a stack on the local AWS, with the stack's credentials."""

from job_runners.cli.stack import Stack
from job_runners.client.credentials import Credentials
from job_runners.client.http_api import HttpApi
from job_runners.client.signing import Signer


def stack_api(stack: Stack) -> HttpApi:
    """Return a client of a stack's API that signs its calls."""
    return HttpApi(stack.api_url, signer(stack))


def signer(stack: Stack) -> Signer:
    """Return a signer with a stack's credentials."""
    credentials = Credentials(stack.aws_access_key_id, stack.aws_secret_access_key)
    return Signer(lambda: credentials, stack.region)
