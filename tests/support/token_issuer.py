"""An issuer of tokens on the loopback: a key pair made here, found as OpenID Connect tells it."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "job-runners"
_KEY_ID = "key-1"


class TokenIssuer:
    """Signs tokens, and publishes the key that checks them."""

    def __init__(self) -> None:
        self.url = ""
        self._key, self._forgers = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)
        )

    def token(self, **claims: Any) -> str:
        """Return a token that is valid for an hour, but for what these claims change."""
        return self._signed(claims, self._key)

    def forged(self, **claims: Any) -> str:
        """Return the same token in all but the key that signed it."""
        return self._signed(claims, self._forgers)

    def altered(self, **claims: Any) -> str:
        """Return a token with other claims than those its signature was made for."""
        header, _, signature = self.token().split(".")
        _, altered, _ = self.token(**claims).split(".")
        return f"{header}.{altered}.{signature}"

    def unsigned(self, **claims: Any) -> str:
        """Return a token that says itself it needs no signature."""
        _, body, _ = self.token(**claims).split(".")
        return f"{_encoded({'alg': 'none', 'kid': _KEY_ID})}.{body}."

    def _signed(self, claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
        now = int(time.time())
        valid = {"iss": self.url, "aud": AUDIENCE, "iat": now - 1, "exp": now + 3600, "sub": "u"}
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        text = f"{_encoded(header)}.{_encoded({**valid, **claims})}"
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_base64(signature)}"

    def published(self) -> dict[str, Any]:
        """Return what it tells at each of its paths."""
        public = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID}
        key |= {"n": _number(public.n), "e": _number(public.e)}
        configuration = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        return {"/.well-known/openid-configuration": configuration, "/jwks": {"keys": [key]}}


@contextmanager
def token_issuer() -> Iterator[TokenIssuer]:
    """Yield an issuer whose keys can be fetched meanwhile."""
    issuer = TokenIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = issuer.published().get(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
