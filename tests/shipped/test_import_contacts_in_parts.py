"""A large file: import_contacts checks its rows, and jobs of their own write the contacts."""

from typing import Any

import pytest

from bench import Bench
from contacts_table import HEADER, KEY, cells, rows_of
from job_runners import clock
from job_runners.aws import bucket
from job_runners.engine.control import owner_actions
from job_runners.errors import DoNotRetry
from job_runners.shipped.campaigns.errors import UnusableFile
from job_runners.shipped.campaigns.importing import import_state, parts, writer
from job_runners.shipped.jobs import import_contacts_part as part_job
from job_runners.store import blobs, children
from job_runners.store.job_request import JobRequest, Status
from job_runners.work.errors import FileRefused
from recording_job import RecordingJob

ROWS = 60


@pytest.fixture
def imported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> JobRequest:
    """Return the import of a file that has three parts, once it waits for them."""
    monkeypatch.setattr(import_state, "LARGE_FILE", 100)
    monkeypatch.setattr(import_state, "CHUNK_ROWS", 10)
    monkeypatch.setattr(parts, "PART_BYTES", 300)
    rows = [f"Ann,Lee,212555{number:04d}\n" for number in range(ROWS - 2)]
    file = "".join([HEADER, *rows, "Bob,Ray,2125550001\n", "Cy,Fox,12\n"])
    bucket.put_bytes(KEY, file.encode())
    row = bench.dispatch("import_contacts", payload={"key": KEY}, campaign_id="spring")
    return bench.run(row)


def members(row: JobRequest) -> list[str]:
    """Return the ids of the parts' jobs once the list of children shows all recent writes."""
    clock.sleep(2)
    return [each.id for each in children.page(row, limit=10).children]


def test_a_large_file_is_written_by_jobs_of_their_own(bench: Bench, imported: JobRequest) -> None:
    assert (imported.status, imported.progress) == (Status.WAITING, 50)
    assert imported.result_message == "60 rows read, 58 contacts found"
    assert cells() == []
    assert len(members(imported)) == 3
    bench.run_out()
    row = bench.read(imported)
    rejected = f"{row.result_folder}/rejected.csv"
    assert blobs.get(row.result, row.result_key) == {
        "rows": 60,
        "imported": 58,
        "invalid": 1,
        "repeated": 1,
        "rejected": {"file": rejected, "rows": 2},
    }
    assert [each[0] for each in rows_of(rejected)[1:]] == ["60", "61"]
    assert len(cells()) == 58


def test_a_part_that_failed_is_retried_and_then_the_import(
    bench: Bench, imported: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_luck(*_: Any) -> Any:
        raise DoNotRetry("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(writer.ContactWriter, "write", no_luck)
        bench.run_out()
    row = bench.read(imported)
    assert row.status is Status.FAILED
    assert "3 of the file's 3 parts were not imported. Retry the jobs" in row.error["message"]
    for each in [*members(row), row.id]:
        owner_actions.retry_again(bench.read(each), bench.send)
        bench.run_out()
    assert bench.read(row).status is Status.SUCCEEDED
    assert len(cells()) == 58


@pytest.mark.parametrize(
    ("field", "key", "error"),
    [
        ("key", "uploads/other/contacts.csv", UnusableFile),
        ("skipped", "results/other/skipped", FileRefused),
        ("skipped", "partial/acme/job/seen", FileRefused),
    ],
)
def test_a_part_reads_no_file_of_another_organization_or_job(
    field: str, key: str, error: type[Exception]
) -> None:
    payload = {
        "key": KEY,
        "country": "US",
        "etag": "one",
        "start": (0, 0, 0),
        "end": 9,
        "skipped": "results/acme/job/skipped",
        field: key,
    }
    part = part_job.ImportContactsPart.model_validate(payload)
    with pytest.raises(error):
        part_job.import_contacts_part(RecordingJob(job_id="other"), part)
