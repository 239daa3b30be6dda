"""Check the tokens of callers, as the JWT authorizer of API Gateway does."""

import asyncio
import base64
import json
import time
import urllib.request
from typing import Any

from job_runners.local.problem import LocalProblem

_SECONDS = 5
_LARGEST = 1_000_000  # bytes of an issuer's answer


class InvalidToken(Exception):
    """The token is missing, or not one that the issuer has made for this audience."""


class Issuer:
    """Checks the tokens of one issuer for one audience."""

    def __init__(self, url: str, audience: str) -> None:
        if not audience:
            raise LocalProblem("JwtIssuer needs JwtAudience, because no token is accepted without.")
        self._url, self._audience = url.rstrip("/"), audience
        self._issuer = url
        self._keys: dict[str, Any] = {}

    async def claims(self, authorization: str) -> dict[str, str]:
        """Return a token's claims as API Gateway passes them on. Raises InvalidToken."""
        try:
            text, _, encoded = _token_in(authorization).rpartition(".")
            header, claims = (_decoded(part) for part in text.split("."))
            key = await self._key(header)
            _verify(key, text.encode(), _bytes(encoded))
            self._check(claims)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidToken(str(error)) from None
        return {name: _text(value) for name, value in claims.items()}

    async def _key(self, header: dict[str, Any]) -> Any:
        if header["alg"] != "RS256":
            raise InvalidToken("the token's algorithm isn't RS256")
        if header["kid"] not in self._keys:
            try:
                self._keys = await asyncio.to_thread(self._fetch)
            except OSError as error:
                raise InvalidToken(f"the issuer can't be reached: {error}") from None
        return self._keys[header["kid"]]

    def _fetch(self) -> dict[str, Any]:
        configuration = _fetched(f"{self._url}/.well-known/openid-configuration")
        return {each["kid"]: each for each in _fetched(configuration["jwks_uri"])["keys"]}

    def _check(self, claims: dict[str, Any]) -> None:
        now = time.time()
        audience = claims.get("aud", claims.get("client_id"))
        audiences = audience if isinstance(audience, list) else [audience]
        if claims["iss"] != self._issuer or self._audience not in audiences:
            raise InvalidToken("the token is of another issuer, or for another audience")
        if now >= claims["exp"] or now < claims.get("nbf", 0) or now < claims.get("iat", 0):
            raise InvalidToken("the token has expired, or isn't valid yet")


def _token_in(authorization: str) -> str:
    kind, _, token = authorization.rpartition(" ")
    if kind.lower() not in ("bearer", "") or token.count(".") != 2:
        raise InvalidToken("no token")
    return token


def _verify(key: dict[str, str], text: bytes, signature: bytes) -> None:
    # Imported here because only stacks with an issuer need it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    numbers = (int.from_bytes(_bytes(key[name])) for name in ("e", "n"))
    public = rsa.RSAPublicNumbers(*numbers).public_key()
    try:
        public.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise InvalidToken("the signature is wrong") from None


def _fetched(url: str) -> Any:
    if not url.startswith(("https://", "http://")):
        raise InvalidToken(f"the issuer's address {url} isn't one of the web")
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - checked above
        return json.loads(answer.read(_LARGEST))


def _decoded(part: str) -> Any:
    return json.loads(_bytes(part))


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(value: Any) -> str:
    """Return a claim as text. API Gateway turns a list into "[one two]"."""
    if isinstance(value, list):
        return f"[{' '.join(map(_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
