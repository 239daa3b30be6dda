"""A large payload is stored before its row: what becomes of it if the row is not saved."""

from collections.abc import Sequence
from typing import Any

import pytest

from bench import Bench
from job_runners.errors import PreconditionFailed
from job_runners.store import blobs, transitions, uniqueness
from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import LineItem
from job_runners.store.transactions import RaceLost, RecordWrite, RowExists
from job_runners.store.uniqueness import KeyTaken
from job_runners.testing.aws import forget
from large_payloads import LARGE, objects


def save(
    payload: Any = LARGE, *, more_writes: Sequence[RecordWrite] = (), **more: Any
) -> JobRequest:
    new_job = transitions.NewJob(
        job_type="sample_once",
        queue_name="default",
        organization_id="acme",
        payload=payload,
        max_attempts=1,
        **more,
    )
    return transitions.save(new_job, more_writes=more_writes).after


def save_again(**more: Any) -> JobRequest:
    """Return the row that is there of the job which was saved under this name."""
    try:
        return save(job_id="named", **more)
    except RowExists as there:
        return there.row


def record(*, is_as_read: bool = True) -> RecordWrite:
    """Return the write of another record, which is refused unless that is as it was read."""
    item = LineItem("place", "item")
    return RecordWrite(item, "put", condition=None if is_as_read else LineItem.sk.exists())


@pytest.mark.parametrize("more", [{}, {"more_writes": [record()]}])
def test_a_job_that_is_there_keeps_its_own_and_no_other_is_left(
    still: Bench, more: dict[str, Any]
) -> None:
    first = save(job_id="named")
    still.advance(1)
    assert save_again(**more).created_key == first.created_key
    assert objects() == [first.payload_key]
    assert blobs.get(None, first.payload_key) == LARGE


@pytest.mark.parametrize("more", [{}, {"more_writes": [record()]}])
def test_of_two_that_are_saved_in_one_millisecond_it_is_the_same(
    still: Bench, more: dict[str, Any]
) -> None:
    first = save(job_id="named")
    assert save_again(**more).payload_key == first.payload_key
    assert objects() == [first.payload_key]


def test_none_is_left_where_another_record_has_changed(bench: Bench) -> None:
    with pytest.raises(RaceLost):
        save(more_writes=[record(is_as_read=False)])
    assert objects() == []


def test_none_is_left_where_another_job_has_the_key(bench: Bench) -> None:
    first = save(unique_key="k")
    with pytest.raises(KeyTaken):
        save(unique_key="k")
    assert objects() == [first.payload_key]


def test_none_is_left_where_others_are_faster_each_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uniqueness, "_MAX_TRIES", 1)
    uniqueness.KeyRecord("unique#k", "holder", holder="another", expires_at=0).save()
    with pytest.raises(PreconditionFailed, match="overtaken"):
        save(unique_key="k")
    assert objects() == []


def test_for_a_small_one_no_bucket_is_needed(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCKET_NAME")
    forget()
    first = save("small", job_id="named")
    still.advance(1)
    assert save("small", job_id="named").created_key == first.created_key
    with pytest.raises(RowExists):
        save("small", job_id="named", more_writes=[record()])
