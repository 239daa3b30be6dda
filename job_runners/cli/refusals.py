"""Turn refusals of the API and errors of AWS clients into Problems."""

import os
from typing import Any

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
from job_runners.client.errors import ApiBusy, ApiError, NoAnswer, UniqueConflict

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
_RENEW = "Renew them (aws sso login, or a new token), or pass others with --profile."


def no_answer(url: str, error: NoAnswer, *, is_local: bool) -> Problem:
    """Return the Problem for an API that can't be reached or doesn't answer."""
    hint = "Check that this machine is online. job-runners doctor checks the stack."
    if is_local:
        hint = (
            "Check that job-runners run is up. If it was killed, start it again: "
            "it cleans up by itself."
        )
    reason = str(error.__cause__ or error.problem).rstrip(".")
    return Problem(f"Can't reach the API at {url}: {reason}.", hint=hint, code=Exit.NO_ANSWER)


def refused(url: str, error: ApiError, *, with_token: bool) -> Problem:
    """Return the Problem for a call that the API or API Gateway refused."""
    body = dict(error.body)
    if error.status == 401:
        return _unauthorized(body, with_token=with_token)
    if error.status == 403 and "status" not in body:  # API Gateway's own answer
        return _forbidden(body, with_token=with_token)
    if error.location is not None:
        return Problem(
            f"{url} answered with a redirect to {error.location}.",
            hint="The command sends no credentials to a redirect. If the API has moved, pass "
            "--api-url.",
            code=Exit.NO_ACCESS,
        )
    if isinstance(error, ApiBusy):
        reason = body.get("detail") or body.get("message") or "it gave no reason"
        wait = error.retry_after
        hint = f"Try again in {wait:g} s." if wait else "Try again in a moment."
        return Problem(
            f"The API answered {error.status}: {reason}.",
            hint=hint,
            code=Exit.NO_ANSWER,
            answer=body or None,
        )
    if not body.get("detail"):
        return Problem(
            error.problem,
            hint="Check that this is the API of a Job Runners stack, and that its version is the "
            "same as this command's.",
            answer=body or None,
        )
    code = Exit.NO_ACCESS if error.status == 403 else Exit.REFUSED
    other_id = error.job_id if isinstance(error, UniqueConflict) else None
    hint = f"To follow that job: job-runners watch {other_id}" if other_id else ""
    return Problem(_summary(error), hint=hint, code=code, answer=body)


def _summary(error: ApiError) -> str:
    """Return the API's own description of the error, which is written for people."""
    problems = [f"{each['field']}: {each['why']}" for each in error.fields]
    return "\n  ".join([f"{error.body['title']}:", *problems]) if problems else error.problem


def _unauthorized(body: dict[str, Any], *, with_token: bool) -> Problem:
    if with_token:
        message = "The API refused this token."
        hint = "It may have expired, or have another issuer or audience. Pass a new one."
    else:
        message = "This API requires a token, and doesn't accept AWS credentials."
        hint = "Set JOBS_TOKEN, or pass a file with --token @FILE."
    return Problem(message, hint=hint, code=Exit.NO_ACCESS, answer=body or None)


def _forbidden(body: dict[str, Any], *, with_token: bool) -> Problem:
    reason = str(body.get("message", 403)).rstrip(".")
    if with_token:
        message = f"The API refused this token: {reason}."
        hint = "A stack without JwtIssuer accepts only calls signed with AWS credentials."
    else:
        message = f"The API refused your AWS credentials: {reason}."
        hint = (
            "They need execute-api:Invoke. Check whose they are with aws sts get-caller-identity, "
            "or pass others with --profile. With --api-url, --region must be the API's region."
        )
    return Problem(message, hint=hint, code=Exit.NO_ACCESS, answer=body or None)


def _why_no_answer() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return "Check that this machine is online, and that the region's name is right."
    return (
        f"AWS_ENDPOINT_URL sends every call to {endpoint}. If that was a local AWS that has "
        f"stopped, unset the variable, or start it again with job-runners run."
    )


def explain(error: BaseException) -> Problem | None:
    """Return the Problem for an AWS client's error, or None for any other error."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return Problem(
                "No AWS credentials found.",
                hint="Set them up (aws configure, aws sso login), or pass --profile.",
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
                f"Can't use your AWS credentials: {error}", hint=_RENEW, code=Exit.NO_ACCESS
            )
        case EndpointConnectionError() | ConnectionError() | HTTPClientError():
            return Problem(
                f"Can't reach AWS: {error}",
                hint=_why_no_answer(),
                code=Exit.NO_ANSWER,
            )
        case ClientError():
            return _explain_refusal(error)
        # A ParamValidationError isn't explained, because it is a bug in this command.
        case BotoCoreError() if not isinstance(error, ParamValidationError):
            return Problem(str(error), code=Exit.NO_ACCESS)
    return None


def _explain_refusal(error: ClientError) -> Problem:
    code, reason = error.response["Error"].get("Code", ""), error.response["Error"].get("Message")
    if code in _EXPIRED:
        return Problem("Your AWS credentials have expired.", hint=_RENEW, code=Exit.NO_ACCESS)
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
