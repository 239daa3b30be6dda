"""What the API refuses, and what AWS does, as Problems: what is wrong, what to do."""

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
from job_runners.errors import ApiBusy, ApiError, NoAnswer, UniqueConflict

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_NOT_KNOWN = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})
_RENEW = "Renew them (aws sso login, or a new token), or choose others with --profile."


def no_answer(url: str, error: NoAnswer, *, is_local: bool) -> Problem:
    """Return that the API could not be reached, or did not answer."""
    hint = "Is this machine online, and is the stack still there? jobs doctor looks at the stack."
    if is_local:
        hint = "Is make run still up? If it was killed, start it again: it cleans up by itself."
    reason = error.__cause__ or error.problem
    return Problem(f"The API at {url} can't be reached: {reason}.", hint=hint, code=Exit.NO_ANSWER)


def refused(url: str, error: ApiError, *, with_token: bool) -> Problem:
    """Return that the API, or the gateway before it, refused a call."""
    body = dict(error.body)
    if error.status == 401:
        return _not_let_in(body, with_token=with_token)
    if error.status == 403 and "status" not in body:  # the gateway's own; the API's says why
        return _forbidden(body, with_token=with_token)
    if error.location is not None:
        return Problem(
            f"{url} answered with a redirect to {error.location}.",
            hint="Credentials follow no redirect. If the API has moved, name it: --api-url.",
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
            hint="Is this the API of a Job Runners stack, of the version that this command is of?",
            answer=body or None,
        )
    code = Exit.NO_ACCESS if error.status == 403 else Exit.REFUSED
    in_the_way = error.job_id if isinstance(error, UniqueConflict) else None
    hint = f"Follow it: jobs watch {in_the_way}" if in_the_way else ""
    return Problem(_summary(error), hint=hint, code=code, answer=body)


def _summary(error: ApiError) -> str:
    """Return what the API says is wrong: it is written for people already."""
    problems = [f"{each['field']}: {each['why']}" for each in error.fields]
    return "\n  ".join([f"{error.body['title']}:", *problems]) if problems else error.problem


def _not_let_in(body: dict[str, Any], *, with_token: bool) -> Problem:
    if with_token:
        message = "The API does not accept this token."
        hint = "It may have expired, or be of another issuer or audience. Give a new one."
    else:
        message = "This API wants a token; its callers don't sign with AWS credentials."
        hint = "Give one as JOBS_TOKEN, or in a file: --token @FILE."
    return Problem(message, hint=hint, code=Exit.NO_ACCESS, answer=body or None)


def _forbidden(body: dict[str, Any], *, with_token: bool) -> Problem:
    reason = str(body.get("message", 403)).rstrip(".")
    if with_token:
        message = f"The API does not let this token in: {reason}."
        hint = "A stack without JwtIssuer takes calls signed with AWS credentials, and no token."
    else:
        message = f"The API does not let your AWS credentials in: {reason}."
        hint = (
            "They need execute-api:Invoke on it. Whose they are: aws sts get-caller-identity. "
            "Others: --profile. With --api-url, is the --region that of the API?"
        )
    return Problem(message, hint=hint, code=Exit.NO_ACCESS, answer=body or None)


def _why_no_answer() -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return "Is this machine online, and is the region's name right?"
    return (
        f"AWS_ENDPOINT_URL has every call go to {endpoint}. If that was a local AWS which has "
        "ended, open another terminal, or start it again: make run."
    )


def explain(error: BaseException) -> Problem | None:
    """Return what an AWS client's error means; None if it is not one."""
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return Problem(
                "There are no AWS credentials here.",
                hint="Set them up (aws configure, aws sso login), or name a profile: --profile.",
                code=Exit.NO_ACCESS,
            )
        case NoRegionError():
            return Problem(
                "Which AWS region? None is set.",
                hint=(
                    "Name it: --region eu-west-1, AWS_REGION, or in your profile. "
                    "Or start the local AWS: make run."
                ),
                code=Exit.NO_ACCESS,
            )
        case ProfileNotFound():
            return Problem(
                f"{error}.", hint="What there is: aws configure list-profiles", code=Exit.NO_ACCESS
            )
        case CredentialRetrievalError() | TokenRetrievalError() | SSOError():
            return Problem(
                f"Your AWS credentials can't be used: {error}", hint=_RENEW, code=Exit.NO_ACCESS
            )
        case EndpointConnectionError() | ConnectionError() | HTTPClientError():
            return Problem(
                f"AWS can't be reached: {error}",
                hint=_why_no_answer(),
                code=Exit.NO_ANSWER,
            )
        case ClientError():
            return _explain_refusal(error)
        case BotoCoreError() if not isinstance(error, ParamValidationError):  # that is our mistake
            return Problem(str(error), code=Exit.NO_ACCESS)
    return None


def _explain_refusal(error: ClientError) -> Problem:
    code, reason = error.response["Error"].get("Code", ""), error.response["Error"].get("Message")
    if code in _EXPIRED:
        return Problem("Your AWS credentials have expired.", hint=_RENEW, code=Exit.NO_ACCESS)
    if code in _NOT_KNOWN:
        return Problem(
            f"AWS does not accept your credentials: {reason}",
            hint="Are they of this account and partition? Choose others with --profile.",
            code=Exit.NO_ACCESS,
        )
    if code in _DENIED:
        return Problem(
            f"AWS does not allow it: {reason}",
            hint=f"Your credentials lack a permission for {error.operation_name}.",
            code=Exit.NO_ACCESS,
        )
    if code in _THROTTLED:
        return Problem(f"AWS is busy: {reason}", hint="Try again.", code=Exit.NO_ANSWER)
    return Problem(f"AWS refused {error.operation_name}: {reason} ({code})")
