"""A job that is saved in one transaction with another record: both are written, or neither."""

import pytest

import job_rows
from job_runners.engine.dispatch.dispatch import accept_job
from job_runners.runners.base import JobData
from job_runners.store import caller_transitions, transitions
from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import LineItem
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost, RecordWrite, RowExists, write_all
from job_runners.testing.aws import forget

pytestmark = pytest.mark.usefixtures("aws")


def turned(before: int | None, after: int) -> RecordWrite:
    """Return the change of a record's turn, refused unless it is as it is thought to be."""
    as_read = LineItem.turn.does_not_exist() if before is None else LineItem.turn == before
    return RecordWrite(LineItem("place", "item"), "change", [LineItem.turn.set(after)], as_read)


def turn() -> int | None:
    found = list(LineItem.query("place", consistent_read=True))
    return found[0].turn if found else None


def test_the_job_and_the_record_are_saved_together() -> None:
    row = job_rows.saved(job_id="named", more_writes=[turned(None, 1)])
    assert read("named") is not None
    assert (row.id, turn()) == ("named", 1)


@pytest.mark.parametrize("unique_key", [None, "its key"])
def test_a_record_that_refuses_keeps_the_job_from_being_saved(unique_key: str | None) -> None:
    with pytest.raises(RaceLost):
        job_rows.saved(job_id="named", unique_key=unique_key, more_writes=[turned(7, 8)])
    assert (read("named"), turn()) == (None, None)


def test_a_job_that_is_there_keeps_the_record_from_being_written() -> None:
    there = job_rows.saved(job_id="named")
    with pytest.raises(RowExists) as refused:
        job_rows.saved(job_id="named", more_writes=[turned(None, 1)])
    assert refused.value.row.created_key == there.created_key
    assert turn() is None


def test_where_both_refuse_it_is_the_job_that_is_told() -> None:
    job_rows.saved(job_id="named")
    with pytest.raises(RowExists):
        job_rows.saved(job_id="named", more_writes=[turned(7, 8)])


def test_the_place_of_a_job_that_has_ended_and_expired_is_free() -> None:
    transitions.succeed(job_rows.claimed(job_rows.saved(job_id="named")), None)
    row = read("named")
    assert row is not None
    row.update([type(row).expires_at.set(1)])
    job_rows.saved(job_id="named", more_writes=[turned(None, 1)])
    assert turn() == 1


def test_of_records_without_a_row_the_first_may_be_the_one_that_refuses() -> None:
    refused, other = turned(7, 8), RecordWrite(LineItem("place", "other"), "put")
    with pytest.raises(RaceLost) as race:
        write_all([refused, other])
    assert [each is refused for each in race.value.refused] == [True]
    assert turn() is None


# --- where the job is unique ----------------------------------------------------------------------


@pytest.fixture(params=["unique_return", "unique_replace"])
def unique_type(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("JOBS_PACKAGES", "unique_sample")
    forget()
    return str(request.param)


def accepted(job_type: str, more_writes: list[RecordWrite], job_id: str = "named") -> JobRequest:
    data = JobData(job_type=job_type, organization_id="acme", payload={})
    return accept_job(
        data, send=lambda message, delay=0: None, job_id=job_id, more_writes=more_writes
    ).row


def test_a_record_that_refuses_keeps_a_job_that_is_unique_from_being_saved(
    unique_type: str,
) -> None:
    with pytest.raises(RaceLost):
        accepted(unique_type, [turned(7, 8)])
    assert (read("named"), turn()) == (None, None)


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_job_that_is_unique_and_there_keeps_the_record_from_being_written(
    unique_type: str, has_ended: bool
) -> None:
    there = accepted(unique_type, [])
    if has_ended:
        caller_transitions.cancel(there)
    with pytest.raises(RowExists):
        accepted(unique_type, [turned(None, 1)])
    assert turn() is None


def test_a_record_is_written_with_the_answer_where_another_job_is_that_and_only_then(
    unique_type: str,
) -> None:
    other = accepted(unique_type, [], job_id="other")
    assert accepted(unique_type, [turned(None, 1)]).id == other.id
    assert turn() == 1
    with pytest.raises(RaceLost):  # though it was answered before
        accepted(unique_type, [turned(None, 1)])
