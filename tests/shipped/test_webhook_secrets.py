"""The secrets that sign webhooks: named by payloads, kept in SSM (moto), cached for a minute."""

import base64
import hmac
import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from job_runners import caches
from job_runners.errors import DoNotRetry, MissingSetting
from job_runners.settings import forget
from job_runners.shipped.jobs.post_webhook import PostWebhook
from job_runners.shipped.webhooks import signing_secrets as webhook_secrets
from job_runners.shipped.webhooks.signature import signature_headers
from job_runners.testing.plain_clients import full_client
from webhook_sender import HOST, KEY, send


@pytest.fixture
def secret(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Yield a signing secret called acme/main."""
    monkeypatch.setenv("WEBHOOK_SECRETS_PATH", "/stack/webhook-secrets")
    forget()
    caches.forget_all()
    put_secret("acme/main", "whsec_" + base64.b64encode(KEY).decode())
    yield
    caches.forget_all()


def put_secret(name: str, value: str) -> None:
    full_client("ssm").put_parameter(
        Name=f"/stack/webhook-secrets/{name}", Value=value, Type="SecureString", Overwrite=True
    )


def test_a_rotated_secret_is_in_use_a_minute_later(
    secret: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("job_runners.shipped.webhooks.signing_secrets.time.monotonic", lambda: now)
    assert webhook_secrets.webhook_keys("acme/main") == [KEY]
    other = b"another key of 24 bytes."
    put_secret("acme/main", base64.b64encode(other).decode())
    assert webhook_secrets.webhook_keys("acme/main") == [KEY]
    now += 61
    assert webhook_secrets.webhook_keys("acme/main") == [other]


def test_while_a_secret_is_rotated_both_sign(secret: None) -> None:
    other = b"another key of 24 bytes."
    put_secret("acme/main", " ".join(f"whsec_{_text(key)}\n" for key in (other, KEY)))
    both = webhook_secrets.webhook_keys("acme/main")
    assert both == [other, KEY]
    signed = signature_headers("evt_1", 1, b"{}", both)["webhook-signature"]
    assert signed.split(" ") == [
        "v1," + _text(hmac.digest(key, b"evt_1.1.{}", "sha256")) for key in (other, KEY)
    ]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(("size", "good"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_key_has_24_to_64_bytes(secret: None, size: int, good: bool) -> None:
    put_secret("acme/main", "whsec_" + _text(b"x" * size))
    if good:
        assert webhook_secrets.webhook_keys("acme/main") == [b"x" * size]
        return
    with pytest.raises(DoNotRetry, match="is not whsec_ and 24 to 64 base64 bytes"):
        webhook_secrets.webhook_keys("acme/main")


def test_three_secrets_are_a_mistake(secret: None) -> None:
    put_secret("acme/main", " ".join(["whsec_" + _text(KEY)] * 3))
    with pytest.raises(DoNotRetry, match="more than two"):
        webhook_secrets.webhook_keys("acme/main")


def test_a_secret_that_does_not_exist_is_named(secret: None) -> None:
    with pytest.raises(DoNotRetry, match="The webhook secret 'acme/none' doesn't exist") as error:
        send(secret="acme/none")
    line = "job-runners config set webhook-secrets/acme/none --secret"
    assert str(error.value).endswith(f'echo "whsec_$(openssl rand -base64 32)" | {line}')


@pytest.mark.parametrize(
    "written", ["whsec_short", "whsec_????", "plain words", "whsec_\u00e9\u00e9"]
)
def test_a_secret_that_is_no_key_is_never_signed_with_nor_shown(secret: None, written: str) -> None:
    put_secret("acme/bad", written)
    with pytest.raises(DoNotRetry, match="The webhook secret 'acme/bad' is not") as error:
        send(secret="acme/bad")
    assert written not in str(error.value)


@pytest.mark.parametrize("name", ["", "/acme", "acme/", "a//b", "../other", "a/../b", "a b", "a.b"])
def test_a_secrets_name_stays_below_its_path(name: str) -> None:
    with pytest.raises(ValidationError):
        PostWebhook(url=f"https://{HOST}/", event_id="evt_1", body={}, secret=name)


def test_without_a_path_for_secrets_the_setting_is_named(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEBHOOK_SECRETS_PATH", raising=False)
    caches.forget_all()
    with pytest.raises(MissingSetting, match="WEBHOOK_SECRETS_PATH"):
        send()
