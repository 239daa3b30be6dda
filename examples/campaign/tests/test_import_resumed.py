"""An import that is interrupted anywhere leaves the same as one that was not."""

from collections.abc import Callable
from typing import Any

import pytest

from campaign import contacts_file, import_contacts, pieces
from campaign.contacts import write
from campaign.pieces import Pieces
from campaign_world import HEADER, SPRING, Files, cells, contacts_of, rows_of
from job_runners.testing.files import read_file, upload
from job_runners.testing.hostile import Hostile
from job_runners.testing.job_runner import InlineRunner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded

Write = Callable[[Any], None]

# Numbers that repeat, fields that span lines, rows that are too short, a blank line.
ROWS = (
    'Ann,Lee,2125550100\r\n"two\r\nlines",Ray,2125550101\r\n=1+1,Fox,+1 212 555 0100\r\n\r\n'
    "Zo\u00eb,Poe,12\r\nBob,Ray\r\nCy,Orr,2125550102\r\nDee,Kay,2125550101\r\nEve,Ash,2125550103\r\n"
)
FILE = ("\ufeff" + HEADER + ROWS).encode()
CONTACTS = ["Ann", "two\r\nlines", "Cy", "Eve"]


@pytest.fixture(autouse=True)
def _many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts_file, "CHUNK_ROWS", 3)


@pytest.fixture
def slow_writes(monkeypatch: pytest.MonkeyPatch, movable_clock: MovableClock) -> Write:
    """Let each chunk of contacts take half a minute."""

    def slowly(contacts: Any) -> None:
        write(contacts)
        movable_clock.advance(30)

    monkeypatch.setattr(import_contacts, "write", slowly)
    return slowly


def test_whatever_dies_the_contacts_and_the_rejected_rows_are_the_same(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = import_contacts._Import.run

    def recorded(work: Any) -> Any:
        result = run(work)
        rejected = read_file(result["rejected"]["file"])
        hostile.effects.record((str(contacts_of()), rejected))
        return result

    monkeypatch.setattr(import_contacts._Import, "run", recorded)
    payload = {**SPRING, "key": "uploads/default/contacts.csv"}
    report = hostile.run(
        "import_contacts", payload, before_each=lambda: upload("contacts.csv", FILE), most=40
    )
    counts = {"rows": 8, "imported": 4, "invalid": 2, "repeated": 2}
    assert counts.items() <= report.undisturbed.job.result.items()
    for play in report.plays:
        assert set(play.effects) == set(report.undisturbed.effects), play.mishap
        assert play.job.result == report.undisturbed.job.result, play.mishap


@pytest.mark.usefixtures("slow_writes")
def test_an_import_goes_on_in_many_invocations(
    job_runner: InlineRunner, saved_jobs: SavedJobs
) -> None:
    key = upload("contacts.csv", FILE)
    job = job_runner.dispatch("import_contacts", {**SPRING, "key": key})
    job_runner.drain(seconds=50)  # each checkpoint ends an invocation
    assert saved_jobs.get(job.id).invocations >= 3
    rejected = rows_of(assert_succeeded(job)["rejected"]["file"])
    assert [row[0] for row in rejected] == ["row", "4", "6", "7", "9"]
    assert [each["first_name"] for each in contacts_of()] == CONTACTS


def test_a_file_replaced_between_two_invocations_is_not_mixed_with_the_old_one(
    job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch, slow_writes: Write
) -> None:
    def replace_then_write(contacts: Any) -> None:
        upload("contacts.csv", FILE.replace(b"Eve", b"Ida"))
        slow_writes(contacts)

    monkeypatch.setattr(import_contacts, "write", replace_then_write)
    job = job_runner.dispatch("import_contacts", {**SPRING, "key": upload("contacts.csv", FILE)})
    job_runner.drain(seconds=50)
    assert "replaced during the import" in str(assert_failed(job, "UnusableFile"))


def test_a_canceled_import_stops_at_its_next_chunk(
    job_runner: InlineRunner,
    saved_jobs: SavedJobs,
    monkeypatch: pytest.MonkeyPatch,
    movable_clock: MovableClock,
) -> None:
    def write_and_cancel(contacts: Any) -> None:
        write(contacts)
        movable_clock.advance(5)
        job_runner.cancel(job)

    monkeypatch.setattr(import_contacts, "write", write_and_cancel)
    job = job_runner.dispatch("import_contacts", {**SPRING, "key": upload("contacts.csv", FILE)})
    job_runner.drain()
    assert saved_jobs.get(job.id).status == "canceled"
    assert len(cells()) == 2  # the first chunk's


def test_what_is_saved_is_read_again_and_large_pieces_are_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "_LARGE", 100)
    files: Any = Files()
    kept = Pieces(files, [])
    for start in range(0, 1000, 10):
        kept.add(b"%9d\n" % start)
        kept = Pieces(files, kept.cursor)
    assert b"".join(kept.read()) == b"".join(b"%9d\n" % start for start in range(0, 1000, 10))
    assert max(map(len, files.written.values())) < 400
    assert len(kept.cursor) <= 12
