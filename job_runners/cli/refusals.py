"""Convert errors of the API and of AWS clients to Problems.

A Problem is an error that the command prints with a hint on what to do, before it exits with the
problem's exit code.
"""

import os

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from job_runners.cli.problem import Exit, Problem
from job_runners.client.errors import (
    AccessDenied,
    ApiBusy,
    ApiError,
    NoAnswer,
    UnexpectedAnswer,
    UniqueConflict,
)

# Error codes of AWS.
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_NOT_ACCEPTED = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})
_RENEW_HINT = "Renew them (aws sso login, or a new token), or pass others with --profile."


def no_answer_problem(url: str, error: NoAnswer, *, is_local: bool) -> Problem:
    """Return the Problem for an API that can't be reached or doesn't answer."""
    if is_local and isinstance(error.__cause__, ConnectionRefusedError):
        return Problem(
            f"The local AWS at {url} has stopped.",
            hint="Start it again with job-runners run. Only run --keep keeps jobs of earlier runs.",
            code=Exit.NO_ACCESS,
        )
    hint = "Check that this machine is online. job-runners doctor checks the stack."
    if is_local:
        hint = "See what the terminal of job-runners run shows."
    reason = str(error.__cause__ or error.problem).rstrip(".")
    return Problem(f"Can't reach the API at {url}: {reason}.", hint=hint, code=Exit.NO_ANSWER)


def refusal_problem(error: ApiError) -> Problem:
    """Return the Problem for a call that the API or API Gateway refused."""
    answer = dict(error.body) or None
    if isinstance(error, ApiBusy):
        reason = error.body.get("detail") or error.body.get("message") or "it gave no reason"
        text = f"The API answered {error.status}: {str(reason).rstrip('.')}."
        return Problem(text, hint=error.hint, code=Exit.NO_ANSWER, answer=answer)
    is_denied = isinstance(error, AccessDenied) or error.location is not None
    hint = error.hint if is_denied or isinstance(error, UnexpectedAnswer) else ""
    if isinstance(error, UniqueConflict):
        hint = f"To follow that job: job-runners watch {error.job_id}"
    code = Exit.NO_ACCESS if is_denied else Exit.REFUSED
    return Problem(_summary(error), hint=hint, code=code, answer=answer)


def _summary(error: ApiError) -> str:
    """Return the API's own description of the error, which is meant for people."""
    if not error.fields:
        return error.problem
    lines = [f"{field['field']}: {field['why']}" for field in error.fields]
    return "\n  ".join([f"{error.body['title']}:", *lines])


def _no_answer_hint() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return "Check that this machine is online, and that the region's name is right."
    return (
        f"AWS_ENDPOINT_URL sends every call to {endpoint}. If that was a local AWS that has "
        f"stopped, unset the variable, or start it again with job-runners run."
    )


def aws_problem(error: BaseException) -> Problem | None:
    """Return the Problem for an AWS client's error, or None for any other error."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return Problem(
                "No AWS credentials found.",
                hint="Set them up (aws configure, aws sso login), or name others with --profile or "
                "AWS_PROFILE.",
                code=Exit.NO_ACCESS,
            )
        case NoRegionError():
            return Problem(
                "No AWS region is set.",
                hint=(
                    "Set AWS_REGION or the region of your profile, or pass --region eu-west-1. To "
                    "use the local AWS instead, start it with job-runners run."
                ),
                code=Exit.NO_ACCESS,
            )
        case ProfileNotFound():
            return Problem(
                f"{error}.",
                hint="List your profiles with aws configure list-profiles.",
                code=Exit.NO_ACCESS,
            )
        case CredentialRetrievalError() | TokenRetrievalError() | SSOError():
            return Problem(
                f"Can't use your AWS credentials: {error}", hint=_RENEW_HINT, code=Exit.NO_ACCESS
            )
        case EndpointConnectionError() | ConnectionError() | HTTPClientError():
            return Problem(
                f"Can't reach AWS: {error}",
                hint=_no_answer_hint(),
                code=Exit.NO_ANSWER,
            )
        case ClientError():
            return _aws_refusal_problem(error)
        # A ParamValidationError is a bug in this command, so show its traceback.
        case BotoCoreError() if not isinstance(error, ParamValidationError):
            return Problem(str(error), code=Exit.NO_ACCESS)
    return None


def _aws_refusal_problem(error: ClientError) -> Problem:
    code = error.response["Error"].get("Code", "")
    reason = error.response["Error"].get("Message")
    if code in _EXPIRED:
        return Problem("Your AWS credentials have expired.", hint=_RENEW_HINT, code=Exit.NO_ACCESS)
    if code in _NOT_ACCEPTED:
        return Problem(
            f"AWS doesn't accept your credentials: {reason}",
            hint="Check their account and partition, or pass others with --profile.",
            code=Exit.NO_ACCESS,
        )
    if code in _DENIED:
        return Problem(
            f"AWS denied access: {reason}",
            hint=f"Your credentials have no permission for {error.operation_name}.",
            code=Exit.NO_ACCESS,
        )
    if code in _THROTTLED:
        return Problem(f"AWS is busy: {reason}", hint="Try again.", code=Exit.NO_ANSWER)
    return Problem(f"AWS refused {error.operation_name}: {reason} ({code})")
