"""Who is calling, and for which organisation they may speak."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.refusals import NotAllowed
from settings import settings


@dataclass(frozen=True)
class Caller:
    """Whoever made the request. `organization_id` is the only one they may speak for; a caller with
    none is a service of ours, which names the organisation in each request."""

    organization_id: str | None

    @property
    def is_service(self) -> bool:
        """Whether it is a service of ours."""
        return self.organization_id is None

    def may_see(self, organization_id: str) -> bool:
        """Whether what belongs to this organisation exists for the caller."""
        return self.organization_id in (None, organization_id)

    def speaks_for(self, named: Any) -> Any:
        """The organisation a request is for, given the one it names, if any (checked later, as any
        other field). Raises NotAllowed if it is another's."""
        if self.is_service or named == self.organization_id:
            return named
        if named is None:
            return self.organization_id
        raise NotAllowed(f"you may only speak for the organisation {self.organization_id!r}")

    def require_service(self, what: str) -> None:
        """Raises NotAllowed for a caller of one organisation, `what` being only for services.

        A task carries no organisation: whose text or webhook it sends is only a field of its
        payload. A pause holds back the jobs of every organisation. What a customer's own user may
        ask for is a job.
        """
        if not self.is_service:
            raise NotAllowed(f"only services may {what}, not callers of one organisation")


def caller(event: Mapping[str, Any]) -> Caller:
    """Who is calling, by the access mode of the settings: never by what a request lacks.

    Raises NotAllowed for a token that names no organisation.
    """
    authorizer = event["requestContext"].get("authorizer") or {}
    if settings().access_mode == "iam":
        if authorizer.get("jwt"):
            raise NotAllowed("this API takes signed requests, and its route takes tokens")
        return Caller(None)
    claim = settings().jwt_organization_claim
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    organization_id = claims.get(claim)
    # A claim that is a list arrives as the text "[one two]".
    if not isinstance(organization_id, str) or not re.fullmatch(r"[^#\[\]]+", organization_id):
        raise NotAllowed(f"your token does not name one organisation in its claim {claim!r}")
    return Caller(organization_id)
