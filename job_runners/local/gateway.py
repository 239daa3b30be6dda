"""A local API Gateway: it finds a request's route, checks tokens, and calls the API function."""

import asyncio
import base64
import json
import time
import urllib.request
import uuid
from typing import Any
from urllib.parse import unquote

from job_runners.fake_dynamodb.behind_moto import ACCOUNT
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import STAGE, FunctionSettings
from job_runners.local.guard import Head, Response
from job_runners.local.options import LocalProblem

_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_TIMEOUT_SECONDS = 5
_MAX_RESPONSE = 1_000_000  # bytes


class Gateway:
    """The HTTP API of one stack."""

    def __init__(self, settings: FunctionSettings, functions: Functions) -> None:
        """Prepare the routes. Raises LocalProblem if JwtIssuer is set without JwtAudience."""
        self._routes = settings.routes()
        issuer = settings.parameter("JwtIssuer")
        self._issuer = Issuer(issuer, settings.parameter("JwtAudience")) if issuer else None
        self._functions = functions

    def authorization_of(self, method: str, path: str) -> str | None:
        """Return the authorization type of the route for a path, or None without a route."""
        if not path.startswith(f"{STAGE}/"):
            return None
        return self._route(method, path.removeprefix(STAGE))[1]

    def _route(self, method: str, path: str) -> tuple[str, str]:
        """Return the key and the authorization type of the route for a path."""
        for key, kind in self._routes.items():
            route_method, _, route_path = key.partition(" ")
            if kind == "NONE" and method == route_method and _matches(route_path, path):
                return key, kind
        return next(route for route in self._routes.items() if route[1] != "NONE")

    async def respond(self, head: Head, body: bytes, *, is_signed: bool) -> Response:
        """Return the response to a request of the stage that the guard has admitted."""
        path = head.path.removeprefix(STAGE)
        key, authorization = self._route(head.method, unquote(path))
        event = _event(head, path, key, body)
        if authorization == "JWT":
            assert self._issuer is not None  # noqa: S101 - with an issuer, the type is JWT
            try:
                claims = await self._issuer.claims(head.headers.get("authorization", ""))
            except InvalidToken:
                return _message(401, "Unauthorized")
            event["requestContext"]["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
        elif authorization == "AWS_IAM":
            if not is_signed:
                return _message(403, "Forbidden")
            signer = {"userArn": f"arn:aws:iam::{ACCOUNT}:user/local", "accountId": ACCOUNT}
            event["requestContext"]["authorizer"] = {"iam": signer}
        reply = await self._functions.invoke("api", event)
        result = reply.get("result")
        if not isinstance(result, dict) or "statusCode" not in result:
            return _message(500, "Internal Server Error")
        text = result.get("body") or ""
        content = base64.b64decode(text) if result.get("isBase64Encoded") else text.encode()
        return result["statusCode"], result.get("headers") or {}, content


def _matches(route_path: str, path: str) -> bool:
    """Return whether a path matches a route's path, such as /answers/{token} or /{proxy+}."""
    prefix, brace, variable = route_path.partition("{")
    if not brace:
        return path == route_path
    value = path.removeprefix(prefix)
    if not path.startswith(prefix) or not value:
        return False
    return "+" in variable or "/" not in value


def _message(status: int, text: str) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps({"message": text}).encode()


def _event(head: Head, path: str, key: str, body: bytes) -> dict[str, Any]:
    """Return the event for the function, in payload format 2.0, with the fields that it reads."""
    decoded_path = unquote(path)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": decoded_path,
        "rawQueryString": head.query,
        "headers": head.headers,
        "requestContext": {
            "http": {"method": head.method, "path": decoded_path},
            "requestId": str(uuid.uuid4()),
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if body:
        is_text = head.headers.get("content-type", "text/plain").startswith(_TEXT_TYPES)
        try:
            event["body"] = body.decode() if is_text else base64.b64encode(body).decode()
            event["isBase64Encoded"] = not is_text
        except UnicodeDecodeError:
            event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return event


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
            header, claims = (
                json.loads(_decode_base64(part)) for part in (header_part, claims_part)
            )
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


def _decode_base64(text: str) -> bytes:
    missing_padding = -len(text) % 4
    return base64.urlsafe_b64decode(text + "=" * missing_padding)


def _claim_text(value: Any) -> str:
    """Return a claim as text. API Gateway turns a list into "[one two]"."""
    if isinstance(value, list):
        return f"[{' '.join(map(_claim_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
