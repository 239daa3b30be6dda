"""Payloads and results too large for a row, under a hostile Lambda: they come back unchanged."""

from collections.abc import Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.history import simulated_aws
from job_runners.aws import bucket
from job_runners.store import blobs


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


@pytest.mark.parametrize(("what", "near"), [("payload", 244), ("result", 157)])
def test_it_notices_when_jobs_share_an_object(
    what: str, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = bucket.put_bytes
    get = blobs.get

    def sharing(key: str, data: bytes, *more: Any) -> None:
        write(what if key.startswith(what) else key, data, *more)

    def shared(packed: bytes | None, key: str | None) -> Any:
        return get(packed, what if key and key.startswith(what) else key)

    monkeypatch.setattr(bucket, "put_bytes", sharing)
    monkeypatch.setattr(blobs, "get", shared)
    assert f"the {what} of job" in broken_promise(near=near)
