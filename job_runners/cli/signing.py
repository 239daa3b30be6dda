"""Signs calls of an HTTP API as whoever the credentials belong to (SigV4)."""

from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class Signer:
    """Signs for one region's APIs."""

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials
        self._region = region

    def headers(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the call's headers, and its signature."""
        request = AWSRequest(method=method, url=url, data=data, headers=dict(headers))
        # Frozen for each call: credentials that expire are renewed in between, all parts at once.
        frozen = self._credentials.get_frozen_credentials()
        SigV4Auth(frozen, "execute-api", self._region).add_auth(request)
        return dict(request.headers.items())


class Bearer:
    """Shows a token instead."""

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(
        self,
        method: str,  # noqa: ARG002 - as Signer's
        url: str,  # noqa: ARG002
        data: bytes | None,  # noqa: ARG002
        headers: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the call's headers, and the token."""
        return {**headers, "Authorization": f"Bearer {self._token}"}
