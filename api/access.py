"""Who is calling, what they may do, and for which organisation."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from enum import IntEnum
from typing import Any, NamedTuple

import names
from api.errors import NotAllowed
from settings import settings
from work import context


class Role(IntEnum):
    """What a caller may do. Each may do what those before it may."""

    VIEWER = 1  # see the jobs of its organisation, without what they were given and gave back
    READER = 2  # read all that its organisation has
    OPERATOR = 3  # dispatch, cancel, retry and delete the jobs of its organisation
    SERVICE = 4  # a program of ours: names the organisation in each request, sends tasks, pauses


# Roles as a token's roles claim spells them; any other word there is no role.
ROLES = {role.name.lower(): role for role in Role}

_SAM_LOCAL = "sam local"  # has no authorizer, and so nobody's name


class Caller(NamedTuple):
    """Whoever made the request. `organization_id` is the only one they may speak for, and None for
    a service alone. `name` is the subject of their token, or the ARN that signed."""

    role: Role
    organization_id: str | None = None
    name: str = "unknown"

    @property
    def author(self) -> context.Author:
        """Return who it is, for logs and rows."""
        return context.Author(self.role.name.lower(), self.name, self.organization_id)

    @property
    def sees_payloads(self) -> bool:
        """Return whether it is shown what jobs were given and gave back."""
        return self.role >= Role.READER

    @property
    def sees_code(self) -> bool:
        """Return whether it is shown where in the code a job failed, and where its log is."""
        return self.role >= Role.OPERATOR

    @property
    def is_service(self) -> bool:
        """Return whether it is a program of ours."""
        return self.role is Role.SERVICE

    def may_see(self, organization_id: str) -> bool:
        """Return whether what belongs to this organisation exists for the caller."""
        return self.is_service or organization_id == self.organization_id

    def speaks_for(self, named: Any) -> Any:
        """Return the organisation a request is for, given the one it names, if any (checked later,
        as any other field). Raises NotAllowed if it is another's."""
        if self.is_service or named == self.organization_id:
            return named
        if named is None:
            return self.organization_id
        raise NotAllowed(f"you may only speak for the organisation {self.organization_id!r}")


NOBODY = Caller(Role.VIEWER)
# The caller of this request, for what shows a job: it leaves out what the caller may not see.
asking: ContextVar[Caller] = ContextVar("asking", default=NOBODY)


def caller(event: Mapping[str, Any]) -> Caller:
    """Return who is calling, by the access mode of the settings: never by what a request lacks.

    Raises NotAllowed for a token that names no role or no organisation, and for a request that no
    authorizer has let in.
    """
    authorizer = event["requestContext"].get("authorizer") or {}
    if settings().access_mode == "iam":
        return _signer(authorizer)
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    role = _role(claims)
    bound = None if role is Role.SERVICE else _organization(claims)
    return Caller(role, bound, str(claims.get("sub") or claims.get("client_id") or "unknown"))


def is_of_service(event: Mapping[str, Any]) -> bool:
    """Return whether a request is of a program of ours."""
    try:
        return caller(event).is_service
    except NotAllowed:
        return False


def require(caller: Caller, least: Role) -> None:
    """Raise NotAllowed for a caller of a lower role than `least`."""
    if caller.role < least:
        role = caller.role.name.lower()
        raise NotAllowed(f"{_ONLY_FOR[least]}, and the role of your token is {role}")


# A task carries no organisation: whose text or webhook it sends is only a field of its payload. A
# pause parks the jobs of every organisation. What a customer's own user may ask for is a job.
_ONLY_FOR = {
    Role.READER: "only readers, operators and services may do this",
    Role.OPERATOR: "only operators and services may do this",
    Role.SERVICE: "only services may do this, not callers of one organisation",
}


def _signer(authorizer: Mapping[str, Any]) -> Caller:
    """Return the caller of a signed request, who may do everything. API Gateway says who signed; an
    event without that came in by a route, or another way, that checks no signature."""
    signed_by = authorizer.get("iam")
    if signed_by:
        return Caller(Role.SERVICE, name=str(signed_by.get("userArn") or "unknown"))
    if settings().is_sam_local and not authorizer:
        return Caller(Role.SERVICE, name=_SAM_LOCAL)
    if "jwt" in authorizer:
        raise NotAllowed("this API takes signed requests, and its route takes tokens")
    raise NotAllowed("this request was not verified: its route must ask for AWS_IAM")


def _role(claims: Mapping[str, Any]) -> Role:
    """Return the highest of a token's roles."""
    claim = settings().jwt_roles_claim
    found = [ROLES[name] for name in _claim_values(claims.get(claim)) if name in ROLES]
    if not found:
        raise NotAllowed(
            f"your token has none of the roles {', '.join(ROLES)} in its claim {claim!r}"
        )
    return max(found)


def _claim_values(value: Any) -> list[str]:
    """Return a claim's values. A list arrives as the text "[one two]"; any other text is one value,
    whatever is in it."""
    if not isinstance(value, str):
        return []
    listed = re.fullmatch(r"\[([^\[\]]*)\]", value)
    return listed[1].split(" ") if listed else [value]


def _organization(claims: Mapping[str, Any]) -> str:
    claim = settings().jwt_organization_claim
    organization_id = claims.get(claim)
    # Never a list: a caller of two organisations would have to say which one it speaks for.
    if not isinstance(organization_id, str) or not re.fullmatch(
        rf"[^#\[\]{names.UNFIT}]+", organization_id
    ):
        raise NotAllowed(f"your token does not name one organisation in its claim {claim!r}")
    return organization_id
