"""The file of a campaign's contacts: what is in it, and that it survives interruptions."""

from typing import Any

import pytest

from campaign import export_contacts
from campaign_world import SPRING, Files, cell, contact, contacts_of, give, keep, put, rows_of
from job_runners.testing.files import read_file, upload
from job_runners.testing.hostile import Hostile
from job_runners.testing.job_runner import InlineRunner, InvalidPayload
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs, assert_succeeded
from job_runners.work import RunningJob

COLUMNS = list(export_contacts.COLUMNS)


def export(job_runner: InlineRunner) -> str:
    """Export the campaign, and return the file's key."""
    return str(assert_succeeded(job_runner.run("export_contacts", SPRING))["file"])


def test_every_contact_of_the_campaign_is_in_the_file_and_no_other(
    job_runner: InlineRunner,
) -> None:
    custom = {"pet": "Rex", "city": "Köln"}
    put(contact(1, first_name="Zoë", zip="01234", external_id="a-1", custom_fields=custom))
    put(contact(2, last_name='L"e,e'))
    put(contact(3, "default#springtime"))
    put(contact(4, "default2#spring"))
    give(2)
    key = export(job_runner)
    assert rows_of(key) == [
        COLUMNS,
        ["Zoë", "Lee", cell(1), "01234", "a-1", '{"city": "Köln", "pet": "Rex"}', "", ""],
        ["Ann 2", 'L"e,e', cell(2), "", "", "", "ada", "needs_message"],
    ]


def test_a_campaign_without_contacts_gives_a_file_with_a_header(job_runner: InlineRunner) -> None:
    job = job_runner.run("export_contacts", SPRING)
    assert rows_of(assert_succeeded(job)["file"]) == [COLUMNS]
    assert job.message == "the campaign has no contacts"


@pytest.mark.parametrize("start", list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
def test_a_value_that_a_spreadsheet_would_run_is_shown_as_text(
    job_runner: InlineRunner, start: str
) -> None:
    put(contact(1, first_name=f"{start}1+1"))
    assert rows_of(export(job_runner))[1][0] == f"'{start}1+1"


def test_what_is_exported_can_be_imported_again(job_runner: InlineRunner) -> None:
    keep(range(30))
    before = contacts_of()
    key = upload("back.csv", read_file(export(job_runner)))
    result = assert_succeeded(job_runner.run("import_contacts", {**SPRING, "key": key}))
    assert result["imported"] == 30
    same = [{name: each[name] for name in before[0]} for each in contacts_of()]
    assert same == before


def test_a_large_export_is_written_in_pieces_over_many_invocations(
    job_runner: InlineRunner,
    saved_jobs: SavedJobs,
    monkeypatch: pytest.MonkeyPatch,
    movable_clock: MovableClock,
) -> None:
    monkeypatch.setattr(export_contacts, "PIECE", 300)
    monkeypatch.setattr(export_contacts, "_REPORT_EVERY", 3)
    write = RunningJob.write_file

    def slowly(job: RunningJob, key: str, *given: Any, **more: Any) -> str:
        movable_clock.advance(30)
        return write(job, key, *given, **more)

    monkeypatch.setattr(RunningJob, "write_file", slowly)
    keep(range(40))
    job = job_runner.dispatch("export_contacts", SPRING)
    job_runner.drain(seconds=75)
    assert saved_jobs.get(job.id).invocations > 2
    assert saved_jobs.get(job.id).message == "40 contacts written"
    rows = rows_of(assert_succeeded(job)["file"])
    assert [row[2] for row in rows] == ["cell", *(cell(number) for number in range(40))]


def test_whatever_dies_each_contact_is_in_the_file_once(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_contacts, "PIECE", 300)
    write = RunningJob.write_file

    def recorded(job: RunningJob, key: str, data: Any, **more: Any) -> str:
        written = write(job, key, data, **more)
        if key.endswith("contacts.csv"):
            hostile.effects.record([row[2] for row in rows_of(key)])
        return written

    monkeypatch.setattr(RunningJob, "write_file", recorded)
    report = hostile.run("export_contacts", SPRING, before_each=lambda: keep(range(20)), most=60)
    expected = ["cell", *(cell(number) for number in range(20))]
    for play in report.plays:
        assert play.effects, play.mishap
        assert all(each == expected for each in play.effects), play.mishap
        assert play.job.status == "succeeded", play.mishap


def test_an_invocation_wrongly_taken_for_dead_replaces_no_piece_of_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Contacts change in between, so the two cut the file at different places."""
    monkeypatch.setattr(export_contacts, "PIECE", 300)

    class Job(Files):
        cursor = None
        organization_id = "default"

    job: Any = Job()
    for length in (1, 30):
        keep(range(20))
        put(contact(0, last_name="x" * length))
        export_contacts.export_contacts(job, export_contacts.ExportContacts(**SPRING))
    assert job.written["result/contacts.csv"].count(b"+1212555") == 20


def test_a_payload_that_does_not_fit_is_refused(job_runner: InlineRunner) -> None:
    with pytest.raises(InvalidPayload):
        job_runner.dispatch("export_contacts", {**SPRING, "key": "x"})
