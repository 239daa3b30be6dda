"""An import that is interrupted anywhere ends as one that was not, on moto."""

import json
from contextlib import suppress
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts_table import contacts
from job_runners.aws import bucket
from job_runners.shipped.campaigns.importing import csv_records, import_state, parts
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from job_runners.shipped.jobs.import_contacts_part import ImportContactsPart, import_contacts_part
from recording_job import RecordingJob, Stopped
from sizes import by_size

pytestmark = [pytest.mark.sized, pytest.mark.usefixtures("aws")]

fresh = count()
on_one_moto = settings(
    max_examples=by_size(5, 15),
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# Few numbers, so that most are repeats; fields that span lines; rows too short; a blank line.
CELLS = ("2125550100", "(212) 555-0101", "+1 212 555 0102", "2125550103", "12", "")
NAMES = ("Ann", '"Ann, ""A"""', '"two\r\nlines"', "Zo\u00eb", "=1+1")
LINES = st.one_of(
    st.builds("{},Lee,{}".format, st.sampled_from(NAMES), st.sampled_from(CELLS)),
    st.just(""),
    st.just("Bob,Ray"),
)
FILES = st.builds(
    "{}{}".format,
    st.sampled_from(["", "\ufeff"]),
    st.lists(LINES, max_size=25).map(
        lambda lines: "\r\n".join(["first_name,last_name,cell", *lines])
    ),
)


@pytest.fixture(autouse=True)
def _many_chunks_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_state, "CHUNK_ROWS", 2)
    monkeypatch.setattr(csv_records, "BLOCK", 50)


class InParts(RecordingJob):
    """Runs the parts of a large file as it asks for them, each stopped at every checkpoint."""

    def gather(self, name: str, members: Any, **_: Any) -> Any:
        ended = []
        for part in members:
            payload = ImportContactsPart(**json.loads(json.dumps(part.payload)))
            job = RecordingJob(campaign_id=self.campaign_id, stop_at=1)
            while not _is_done(job, payload):
                job = RecordingJob(campaign_id=self.campaign_id, cursor=job.cursor, stop_at=1)
            ended.append(SimpleNamespace(status="succeeded"))
        return ended


def _is_done(job: RecordingJob, part: ImportContactsPart) -> bool:
    """Run a part to its first checkpoint. Return whether it ended before."""
    with suppress(Stopped):
        import_contacts_part(job, part)
    return not job.cursors


class Import:
    """One import, of its own campaign, run as often and interrupted as the test likes."""

    def __init__(self, file: str) -> None:
        self.number = next(fresh)
        self.key = f"uploads/acme/{self.number}.csv"
        bucket.put_bytes(self.key, file.encode())
        self.whole = self.numbered("whole")

    def numbered(self, name: str, **how: Any) -> RecordingJob:
        """Return a job of this import; each name has its own id and campaign."""
        return InParts(job_id=f"{name}-{self.number}", campaign_id=f"{name}-{self.number}", **how)

    def run(self, job: RecordingJob) -> tuple[Any, ...]:
        """Everything that the job leaves: result, contacts, file of rejected rows."""
        result = import_contacts(job, ImportContacts(key=self.key))
        assert not job.cursors or job.cursor == job.cursors[-1]  # nothing changed it since
        rejected = b""
        if result["rejected"]:
            rejected = bucket.get_bytes(result["rejected"].pop("file"))
        return result, contacts(campaign=str(job.campaign_id)), rejected

    def run_until(self, checkpoint: int, job: RecordingJob) -> Any:
        """Interrupt the job at its first checkpoint, or at a later one; the cursor written."""
        job.stop_at = checkpoint
        with pytest.raises(Stopped):
            self.run(job)
        return job.cursors[-1]


@on_one_moto
@given(file=FILES)
def test_stopped_at_any_checkpoint_it_ends_as_if_never_stopped(file: str) -> None:
    work = Import(file)
    expected = work.run(work.whole)
    _stop_at_each_checkpoint(work, "whole", expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_state, "LARGE_FILE", 0)
        patch.setattr(parts, "PART_BYTES", 60)
        _stop_at_each_checkpoint(work, "parts", expected)


def _stop_at_each_checkpoint(work: Import, name: str, expected: tuple[Any, ...]) -> None:
    for stop in range(1, len(work.whole.cursors) + 1):
        cursor = work.run_until(stop, work.numbered(f"{name}{stop}"))
        assert work.run(work.numbered(f"{name}{stop}", cursor=cursor)) == expected


@on_one_moto
@given(file=FILES)
def test_stopped_at_every_checkpoint_it_ends_as_if_never_stopped(file: str) -> None:
    work = Import(file)
    expected = work.run(work.whole)
    cursor = None
    for _ in work.whole.cursors:
        cursor = work.run_until(1, work.numbered("often", cursor=cursor))
    assert work.run(work.numbered("often", cursor=cursor)) == expected


@on_one_moto
@given(file=FILES, data=st.data())
def test_an_invocation_given_up_for_dead_can_go_on_without_harm(
    file: str, data: st.DataObject
) -> None:
    work = Import(file)
    expected = work.run(work.whole)
    if not work.whole.cursors:
        return
    stop = data.draw(st.integers(1, len(work.whole.cursors)))
    cursor = work.run_until(stop, work.numbered("twice"))
    half_way = data.draw(st.integers(1, len(work.whole.cursors) - stop + 1))

    class Overtaken(RecordingJob):
        """While it runs, the one given up for dead runs from the same cursor to its end."""

        def checkpoint(self, *args: Any, **named: Any) -> None:
            super().checkpoint(*args, **named)
            if len(self.cursors) == half_way:
                import_state.CHUNK_ROWS = 3  # it began with other code
                work.run(work.numbered("twice", cursor=cursor))
                import_state.CHUNK_ROWS = 2

    name = f"twice-{work.number}"
    overtaken = Overtaken(job_id=name, campaign_id=name, cursor=cursor)
    assert work.run(overtaken) == expected


def test_what_was_not_yet_checkpointed_is_repeated_from_an_older_cursor() -> None:
    work = Import(
        "first_name,last_name,cell\n" + "".join(f"A,B,212555{n:04d}\n" for n in range(100, 120)) * 2
    )
    expected = work.run(work.whole)
    older = work.numbered("older")
    work.run_until(9, older)
    assert work.run(work.numbered("older", cursor=older.cursors[3])) == expected


def test_the_cursor_stays_small_however_many_chunks_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_records, "BLOCK", 1 << 20)
    rows = "".join(f"A,B,212555{n:04d}\nA,B,12\n" for n in range(100, 300))
    work = Import(f"first_name,last_name,cell\n{rows}")
    work.run(work.whole)
    written = {
        json.dumps(cursor) for cursor in work.whole.cursors
    }  # the reports at the end add none
    assert len(written) == 200
    assert max(len(json.dumps(cursor)) for cursor in work.whole.cursors) < 700
