"""Check callers' tokens (JWT), as API Gateway's authorizer does."""

import asyncio
import base64
import json
import time
import urllib.request
from typing import Any

from job_runners.local.problem import LocalProblem

_TIMEOUT_SECONDS = 5
_MAX_RESPONSE = 1_000_000  # bytes


class InvalidToken(Exception):
    """The token is missing or invalid, or the issuer didn't create it for this audience."""


class Issuer:
    """Checks the tokens of one issuer for one audience."""

    def __init__(self, url: str, audience: str) -> None:
        if not audience:
            raise LocalProblem("JwtIssuer needs JwtAudience, because no token is accepted without.")
        self._audience = audience
        self._issuer = url
        self._keys: dict[str, Any] = {}  # by their ids

    async def claims(self, authorization: str) -> dict[str, str]:
        """Return a token's claims as API Gateway passes them on. Raises InvalidToken."""
        try:
            header_part, claims_part, signature = _read_token(authorization).split(".")
            header, claims = _decode_json(header_part), _decode_json(claims_part)
            key = await self._key(header)
            signed_text = f"{header_part}.{claims_part}".encode()
            _verify(key, signed_text, _decode_base64(signature))
            self._check(claims)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidToken(str(error)) from None
        return {name: _claim_text(value) for name, value in claims.items()}

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
        configuration = _fetch_json(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        return {key["kid"]: key for key in _fetch_json(configuration["jwks_uri"])["keys"]}

    def _check(self, claims: dict[str, Any]) -> None:
        now = time.time()
        audience = claims.get("aud", claims.get("client_id"))
        audiences = audience if isinstance(audience, list) else [audience]
        if claims["iss"] != self._issuer or self._audience not in audiences:
            raise InvalidToken("the token is of another issuer, or for another audience")
        if now >= claims["exp"] or now < claims.get("nbf", 0) or now < claims.get("iat", 0):
            raise InvalidToken("the token has expired, or isn't valid yet")


def _read_token(authorization: str) -> str:
    kind, _, token = authorization.rpartition(" ")
    if kind.lower() not in ("bearer", "") or token.count(".") != 2:
        raise InvalidToken("no token")
    return token


def _verify(key: dict[str, str], text: bytes, signature: bytes) -> None:
    # Imported here because only stacks with an issuer need it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    exponent = int.from_bytes(_decode_base64(key["e"]))
    modulus = int.from_bytes(_decode_base64(key["n"]))
    public_key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    try:
        public_key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise InvalidToken("the signature is wrong") from None


def _fetch_json(url: str) -> Any:
    if not url.startswith(("https://", "http://")):
        raise InvalidToken(f"the issuer's address {url} isn't one of the web")
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - checked above
        return json.loads(response.read(_MAX_RESPONSE))


def _decode_json(part: str) -> Any:
    return json.loads(_decode_base64(part))


def _decode_base64(text: str) -> bytes:
    missing_padding = -len(text) % 4
    return base64.urlsafe_b64decode(text + "=" * missing_padding)


def _claim_text(value: Any) -> str:
    """Return a claim as text. API Gateway turns a list into "[one two]"."""
    if isinstance(value, list):
        return f"[{' '.join(map(_claim_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
