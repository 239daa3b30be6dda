"""Answers of the API about error groups and failed tasks."""

from typing import Any

NEW: dict[str, Any] = {
    "id": "a" * 32,
    "job_type": "make_report",
    "error_kind": "KeyError",
    "frame": "acme.reports:<b>total</b>",
    "state": "new",
    "failures": 1200,
    "first_seen_at": "2026-11-24T12:00:00.000Z",
    "last_seen_at": "2026-11-24T12:30:00.000Z",
    "first_build": "0123456789ab",
    "sample_job_id": "1" * 32,
    "note": None,
    "resolved_at": None,
    "resolved_by": None,
    "regressed_at": None,
}
SOLVED = {**NEW, "id": "b" * 32, "error_kind": "Refused", "frame": None, "state": "resolved"}
KEPT = {
    "id": "7a5c" + "0" * 28,
    "task_name": "send_message",
    "failed_at": "2026-11-24T12:00:00.000Z",
    "attempt": 3,
    "error": {"kind": "Refused", "message": "<b>no such</b> number"},
    "request_id": None,
    "payload": {"cell": "+12125550123", "text": "Polls close at 8."},
    "redriven_at": None,
    "redriven_as": None,
}
UNKEPT = {**KEPT, "id": "6" * 32, "task_name": "post_webhook", "payload": None, "worker": "large"}
