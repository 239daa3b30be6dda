"""Sends webhooks for tests: to a host of theirs, with the resolver answering as they say."""

import socket
from typing import Any

import pytest

from job_runners.shipped.jobs.post_webhook import PostWebhook, post_webhook
from recording_job import RecordingJob

HOST = "hooks.example.com"
KEY = b"0123456789abcdef01234567"
BODY = {"type": "order.shipped", "name": "Zo\u00eb"}
REAL_GETADDRINFO = socket.getaddrinfo


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name resolves to these addresses; the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *how: int, **named: int) -> list[Any]:
        if host in addresses:  # from create_connection: no name to look up
            return REAL_GETADDRINFO(host, port, *how, **named)
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


LAST = 5
"""The attempt whose failure a RecordingJob does not follow by another."""


def send(
    *, port: int = 443, host: str = HOST, path: str = "/in", attempt: int = LAST, **fields: Any
) -> None:
    """Run the job, with a payload that is good but for what `fields` changes."""
    fields = {
        "url": f"https://{host}:{port}{path}",
        "event_id": "evt_1",
        "body": BODY,
        "secret": "acme/main",
        **fields,
    }
    post_webhook(RecordingJob(attempt=attempt), PostWebhook(**fields))
