"""Identify the caller of a request: its role, and the organization that it may act for.

Depending on the setting `access_mode`, callers sign their requests with AWS credentials (`iam`), or
send a token (`jwt`). API Gateway verifies signatures and tokens before this code runs.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from enum import IntEnum
from typing import Any, NamedTuple

from job_runners import names
from job_runners.api.errors import NotAllowed
from job_runners.settings import settings
from job_runners.work import context

Event = Mapping[str, Any]  # a request, as an HTTP API passes it to Lambda


class Role(IntEnum):
    """What a caller may do. Each role includes the roles before it."""

    VIEWER = 1  # sees the jobs of its organization, without payloads and results
    READER = 2  # reads everything of its organization
    OPERATOR = 3  # dispatches, cancels, retries and deletes the jobs of its organization
    SERVICE = 4  # a program of the stack's owner: acts for any organization, sends tasks, pauses


# The roles by the names that a token's claim uses for them. Other names in the claim are ignored.
ROLES = {role.name.lower(): role for role in Role}

_SAM_LOCAL = "sam local"  # the name of every caller under `sam local`, which verifies no callers

# The errors for callers whose role is lower than the role on the left. Only services may send
# tasks, because a task has no organization that the API could check. For example, only the task's
# payload says who gets a text message or a webhook call.
# Only services may pause, because a pause affects the jobs of all organizations.
_ROLE_TOO_LOW = {
    Role.READER: "Only readers, operators and services may do this.",
    Role.OPERATOR: "Only operators and services may do this.",
    Role.SERVICE: "Only services may do this, not callers of one organization.",
}


class Caller(NamedTuple):
    """The caller of a request."""

    role: Role
    organization_id: str | None = None  # None for a service, which may act for any organization
    name: str = "unknown"  # the subject of its token, or the ARN of the request's signer

    @property
    def author(self) -> context.Author:
        """Return the caller as logs and rows record it."""
        return context.Author(self.role.name.lower(), self.name, self.organization_id)

    @property
    def sees_payloads(self) -> bool:
        """Return whether the caller sees the payloads and results of jobs."""
        return self.role >= Role.READER

    @property
    def sees_tracebacks(self) -> bool:
        """Return whether the caller sees the tracebacks of jobs."""
        return self.role >= Role.OPERATOR

    @property
    def may_signal(self) -> bool:
        """Return whether the caller may send signals to jobs."""
        return self.role >= Role.OPERATOR

    @property
    def is_service(self) -> bool:
        """Return whether the caller may act for any organization."""
        return self.role is Role.SERVICE

    def may_see(self, organization_id: str) -> bool:
        """Return whether the caller may see the data of this organization."""
        return self.is_service or organization_id == self.organization_id

    def organization_for(self, requested: Any) -> Any:
        """Return the organization that a request acts for: `requested`, or by default the caller's.

        `requested` is validated later, like any other field. Raises NotAllowed if the caller may
        not act for that organization.
        """
        if self.is_service or requested == self.organization_id:
            return requested
        if requested is None:
            return self.organization_id
        raise NotAllowed(f"You may act only for the organization {self.organization_id!r}.")


NO_CALLER = Caller(Role.VIEWER)
# The caller of the current request. The functions that show a job read it, because they leave out
# what the caller may not see.
current_caller: ContextVar[Caller] = ContextVar("current_caller", default=NO_CALLER)


def identify_caller(event: Event) -> Caller:
    """Return the caller of a request. The setting `access_mode` decides how callers are identified.

    Raises NotAllowed for a token without a role or an organization, and for a request that no
    authorizer has verified.
    """
    authorizer = event["requestContext"].get("authorizer") or {}
    if settings().access_mode == "iam":
        return _signed_caller(authorizer)
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    role = _highest_role(claims)
    organization_id = None if role is Role.SERVICE else _token_organization(claims)
    name = str(claims.get("sub") or claims.get("client_id") or "unknown")
    return Caller(role, organization_id, name)


def is_from_service(event: Event) -> bool:
    """Return whether the caller of a request is a service."""
    try:
        return identify_caller(event).is_service
    except NotAllowed:
        return False


def require_role(caller: Caller, min_role: Role) -> None:
    """Raise NotAllowed for a caller whose role is lower than `min_role`."""
    if caller.role < min_role:
        role = caller.role.name.lower()
        raise NotAllowed(f"{_ROLE_TOO_LOW[min_role]} Your token has the role {role}.")


def _signed_caller(authorizer: Mapping[str, Any]) -> Caller:
    """Return the caller of a signed request, which is always a service.

    API Gateway adds the signer to the event. If there is no signer, the event came through a route
    that doesn't check signatures, or it didn't come through API Gateway at all.
    """
    signer = authorizer.get("iam")
    if signer:
        return Caller(Role.SERVICE, name=str(signer.get("userArn") or "unknown"))
    if settings().is_sam_local and not authorizer:
        return Caller(Role.SERVICE, name=_SAM_LOCAL)
    if "jwt" in authorizer:
        raise NotAllowed("This API takes signed requests, but its route takes tokens.")
    raise NotAllowed("This request was not verified. Its route must use AWS_IAM.")


def _highest_role(claims: Mapping[str, Any]) -> Role:
    """Return the highest of a token's roles. Raises NotAllowed if it has none."""
    claim = settings().jwt_roles_claim
    roles = [ROLES[name] for name in _claim_values(claims.get(claim)) if name in ROLES]
    if not roles:
        raise NotAllowed(
            f"Your token has none of the roles {', '.join(ROLES)} in its claim {claim!r}."
        )
    return max(roles)


def _claim_values(value: Any) -> list[str]:
    """Return a claim's values. If the claim is a list, API Gateway turns it into a string such as
    "[one two]". Any other string is a single value."""
    if not isinstance(value, str):
        return []
    bracketed = re.fullmatch(r"\[([^\[\]]*)\]", value)
    return bracketed[1].split(" ") if bracketed else [value]


def _token_organization(claims: Mapping[str, Any]) -> str:
    """Return the organization that a token names. Raises NotAllowed unless it names one."""
    claim = settings().jwt_organization_claim
    organization_id = claims.get(claim)
    # API Gateway writes a list in brackets. The pattern excludes brackets to refuse lists. A caller
    # with two organizations would have to name one of them in each request.
    one_name = rf"[^#\[\]{names.FORBIDDEN}]+"
    if not isinstance(organization_id, str) or not re.fullmatch(one_name, organization_id):
        raise NotAllowed(
            f"Your token doesn't name exactly one organization in its claim {claim!r}."
        )
    return organization_id


def visible_author(recorded: str | None) -> str | None:
    """Return a recorded author, such as `operator:user-1`, as the current caller may see it.

    Only services see the name of a service, because it may name a person or a program of the
    stack's owner.
    """
    author = context.Author.of_record(recorded)
    is_service = author is not None and author.role == "service"
    if is_service and not current_caller.get().is_service:
        return "service"
    return recorded


def visible_payload_value(value: str | None) -> str | None:
    """Return a value that may come from a payload, or None if the current caller may not see
    payloads."""
    return value if current_caller.get().sees_payloads else None


def visible_code(value: str | None) -> str | None:
    """Return a value that reveals source code, such as a function's name, or None if the current
    caller may not see tracebacks."""
    return value if current_caller.get().sees_tracebacks else None
