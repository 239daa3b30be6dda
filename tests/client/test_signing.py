"""Our signatures are botocore's, whatever the URL, the query, the headers and the credentials."""

import hashlib
import random
import string
from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import quote, urlencode

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from job_runners.client.credentials import Credentials
from job_runners.client.signing import sign

CASES = 4000
MOMENT = datetime(2026, 11, 25, 9, 30, 5, tzinfo=UTC)
TEXTS = (
    string.ascii_letters + string.digits,
    "-._~!$&'()*+,;=:@%/? #[]",
    "äöüßéñ日本語🙂\u00a0\u202e",
)
HOSTS = (
    "abc123.execute-api.eu-west-1.amazonaws.com",
    "API.Example.com:443",
    "api.example.com:8443",
    "127.0.0.1:4566",
    "[::1]:4566",
)


def text(chance: random.Random, most: int) -> str:
    return "".join(chance.choice(chance.choice(TEXTS)) for _ in range(chance.randint(0, most)))


def url(chance: random.Random, service: str) -> str:
    host = chance.choice(HOSTS)
    scheme = "http" if host.startswith(("127", "[")) else "https"
    special = ["", ".", "..", "$default", "%2F", "a%20b"]
    parts = [
        chance.choice(special) if chance.random() < 0.3 else quote(text(chance, 9), safe="")
        for _ in range(chance.randint(0, 5))
    ]
    path = "/" + "/".join(parts) if parts or chance.random() < 0.5 else ""
    path = path or ("/" if service == "s3" else "")  # a bucket's own path is at least that
    pairs = [(text(chance, 6), text(chance, 9)) for _ in range(chance.randint(0, 4))]
    pairs += pairs[:1] if chance.random() < 0.2 else []
    query = urlencode(pairs, quote_via=quote)
    if chance.random() < 0.1:
        query += "&flag" if query else "flag"
    return f"{scheme}://{host}{path}" + (f"?{query}" if query else "")


def headers(chance: random.Random) -> dict[str, str]:
    names = ["Content-Type", "Idempotency-Key", "Accept", "X-Name", "User-Agent", "Expect"]
    value = "  ab  c   d" + string.ascii_letters + '",='
    return {
        name: "".join(chance.choice(value) for _ in range(chance.randint(1, 12))).strip() or "x"
        for name in chance.sample(names, chance.randint(0, len(names)))
    }


@pytest.mark.parametrize("service", ["execute-api", "cloudformation", "s3"])
def test_a_signature_is_botocores(service: str) -> None:
    chance = random.Random(f"signing {service}")
    theirs = S3SigV4Auth if service == "s3" else SigV4Auth
    now = MOMENT.replace(tzinfo=None)
    with patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: now):
        for _ in range(CASES):
            own = Credentials(
                "AKIA" + text(chance, 5).upper().replace(" ", ""),
                text(chance, 40) or "s",
                chance.choice([None, "token/+=" + "a" * 40]),
            )
            method = chance.choice(["GET", "POST", "PUT", "DELETE"])
            where, sent, region = (
                url(chance, service),
                headers(chance),
                chance.choice(["eu-west-1", "us-x"]),
            )
            body = text(chance, 30).encode() if method != "GET" else b""
            digest = hashlib.sha256(body).hexdigest()
            request = AWSRequest(method=method, url=where, data=body, headers=dict(sent))
            held = TheirCredentials(own.access_key, own.secret_key, own.session_token)
            theirs(held, service, region).add_auth(request)
            if service == "s3":
                sent = {**sent, "X-Amz-Content-SHA256": digest}
            ours = sign(
                method, where, sent, digest, own, region, service, moment=MOMENT.timestamp()
            )
            assert ours == dict(request.headers.items()), where
