"""export_contacts through its front door, on moto: what is in the file, and what interrupts it."""

import json
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from pydantic import ValidationError

from contacts_table import contacts, rows_of
from job_runners.aws import bucket, clients, multipart
from job_runners.errors import DoNotRetry
from job_runners.shipped.campaigns.assignment import assign
from job_runners.shipped.campaigns.contact import Contact
from job_runners.shipped.jobs import export_contacts as module
from job_runners.shipped.jobs.export_contacts import ExportContacts, export_contacts
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from job_runners.testing.shipped_operations import full_client
from recording_job import RecordingJob, Stopped

pytestmark = pytest.mark.usefixtures("aws")

FILE = "results/acme/job/contacts.csv"
HEADER = [
    *("first_name", "last_name", "cell", "zip", "external_id", "custom_fields"),
    *("texter", "message_status"),
]


def export(job: RecordingJob | None = None) -> dict[str, Any]:
    return export_contacts(job or RecordingJob(), ExportContacts())


def keep(count: int) -> None:
    with Contact.batch_write() as batch:
        for number in range(count):
            name = f"Ann {number}"
            cell = f"+1212555{number:04d}"
            batch.save(Contact("acme#spring", cell, first_name=name, last_name="x" * 100))


def open_uploads() -> list[Any]:
    found: list[Any] = full_client("s3").list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    return found


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the least size that S3 takes would need 50,000 contacts each."""
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 100)
    monkeypatch.setattr(module, "PART_SIZE", 1000)


@pytest.fixture
def gone_uploads_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers NoSuchUpload to a part for an upload that is gone; moto breaks."""
    real = S3Backend.upload_part

    def upload_part(
        backend: S3Backend, bucket_name: str, multipart_id: str, part_id: int, value: bytes
    ) -> Any:
        if multipart_id not in backend.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return real(backend, bucket_name, multipart_id, part_id, value)

    monkeypatch.setattr(S3Backend, "upload_part", upload_part)


def test_every_contact_of_the_campaign_is_in_the_file_and_no_other() -> None:
    Contact(
        "acme#spring",
        "+12125550123",
        first_name="Zoë",
        last_name="Lee",
        zip="01234",
        external_id="a-1",
        custom_fields={"pet": "Rex", "city": "Köln"},
    ).save()
    Contact("acme#spring", "+12125550124", first_name="Bob", last_name='R"a,y').save()
    Contact("acme#springtime", "+12125550125", first_name="Cy", last_name="Fox").save()
    Contact("acme2#spring", "+12125550126", first_name="Dee", last_name="Poe").save()
    assign("acme#spring", "+12125550124", "ada", "run")
    assert export() == {"file": FILE, "rows": 2}
    assert rows_of(FILE) == [
        HEADER,
        ["Zoë", "Lee", "+12125550123", "01234", "a-1", '{"city": "Köln", "pet": "Rex"}', "", ""],
        ["Bob", 'R"a,y', "+12125550124", "", "", "", "ada", "needs_message"],
    ]
    head = clients.client("s3").head_object(Bucket="bucket", Key=FILE)
    assert head["ContentType"] == "text/csv; charset=utf-8"


def test_a_campaign_without_contacts_gives_a_file_with_a_header() -> None:
    assert export() == {"file": FILE, "rows": 0}
    assert rows_of(FILE) == [HEADER]


@pytest.mark.parametrize("start", list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
def test_a_value_that_a_spreadsheet_would_run_is_shown_as_text(start: str) -> None:
    Contact("acme#spring", "+12125550123", first_name=f"{start}1+1", last_name="Lee").save()
    export()
    assert rows_of(FILE)[1][:3] == [f"'{start}1+1", "Lee", "+12125550123"]


def test_what_is_exported_can_be_imported_again() -> None:
    keep(30)
    before = contacts()
    export()
    bucket.put_bytes("uploads/acme/back.csv", bucket.get_bytes(FILE))
    result = import_contacts(RecordingJob(), ImportContacts(key="uploads/acme/back.csv"))
    assert result["imported"] == 30
    assert [{**each, "custom_fields": None} for each in contacts()] == [
        {**each, "custom_fields": None} for each in before
    ]


@pytest.mark.usefixtures("small_parts")
def test_a_large_export_is_written_in_parts_and_read_as_one() -> None:
    keep(50)
    job = RecordingJob()
    assert export(job)["rows"] == 50
    assert [row[0] for row in rows_of(FILE)[1:]] == [f"Ann {number}" for number in range(50)]
    assert len(job.cursors) > 3
    assert job.messages[0] == "8 contacts written"
    assert open_uploads() == []


def test_an_export_too_small_for_a_part_says_how_far_it_is_and_can_be_stopped() -> None:
    keep(1_200)
    job = RecordingJob()
    assert export(job)["rows"] == 1_200
    assert job.messages == [f"{rows} contacts written" for rows in ("500", "1,000", "1,200")]
    assert set(job.cursors) == {None}  # there is nothing yet that it could go on from


@pytest.mark.usefixtures("small_parts")
def test_a_report_between_two_parts_leaves_the_cursor_at_the_last_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_REPORT_EVERY", 3)
    keep(50)
    stopped = RecordingJob(stop_at=5)
    with pytest.raises(Stopped):
        export(stopped)
    assert [cursor and cursor["rows"] for cursor in stopped.cursors] == [None, None, 8, 8, 8]
    assert export(RecordingJob(cursor=stopped.cursors[-1]))["rows"] == 50
    assert [row[0] for row in rows_of(FILE)[1:]] == [f"Ann {number}" for number in range(50)]


@pytest.mark.usefixtures("small_parts")
def test_an_export_stopped_at_any_part_ends_as_if_never_stopped() -> None:
    keep(50)
    whole = RecordingJob()
    export(whole)
    expected = bucket.get_bytes(FILE)
    for stop in range(1, len(whole.cursors) + 1):
        stopped = RecordingJob(job_id=f"stop{stop}", stop_at=stop)
        with pytest.raises(Stopped):
            export(stopped)
        result = export(RecordingJob(job_id=f"stop{stop}", cursor=stopped.cursors[-1]))
        assert result["rows"] == 50
        assert bucket.get_bytes(str(result["file"])) == expected


@pytest.mark.usefixtures("small_parts", "gone_uploads_refused")
def test_an_export_whose_upload_was_completed_or_tidied_away_begins_anew() -> None:
    keep(50)
    job = RecordingJob()
    export(job)
    expected = bucket.get_bytes(FILE)
    assert export(RecordingJob(cursor=job.cursors[-1]))["rows"] == 50
    assert bucket.get_bytes(FILE) == expected


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_another_invocation_overwrote_is_never_passed_off_as_ours() -> None:
    keep(50)
    stopped = RecordingJob(stop_at=2)
    with pytest.raises(Stopped):
        export(stopped)
    cursor = stopped.cursors[-1]
    late = multipart.Upload(FILE, cursor["upload"], [])
    late.add(b"x" * 1000)
    with pytest.raises(clients.client("s3").exceptions.ClientError, match="InvalidPart"):
        export(RecordingJob(cursor=cursor))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("attempt", "left_open"), [(4, 1), (5, 0)])
def test_parts_are_kept_for_a_later_attempt_and_dropped_after_the_last(
    attempt: int, left_open: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(50)

    def fails(upload: multipart.Upload) -> None:
        raise EndpointConnectionError(endpoint_url="s3")

    monkeypatch.setattr(multipart.Upload, "complete", fails)
    with pytest.raises(EndpointConnectionError):
        export(RecordingJob(attempt=attempt))
    assert len(open_uploads()) == left_open


@pytest.mark.usefixtures("small_parts")
def test_an_export_that_fails_after_a_checkpoint_goes_on_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(50)

    def fails(upload: multipart.Upload) -> None:
        raise EndpointConnectionError(endpoint_url="s3")

    failing = RecordingJob()
    with monkeypatch.context() as patch:
        patch.setattr(multipart.Upload, "complete", fails)
        with pytest.raises(EndpointConnectionError):
            export(failing)
    # What a retried attempt gets: the cursor as it is now, not as it was when it was given.
    assert failing.cursor == failing.cursors[-1]
    assert export(RecordingJob(cursor=failing.cursor))["rows"] == 50
    assert [row[0] for row in rows_of(FILE)[1:]] == [f"Ann {number}" for number in range(50)]


def test_the_cursor_holds_what_a_later_invocation_needs_and_little_more(small_parts: None) -> None:
    keep(50)
    job = RecordingJob()
    export(job)
    assert set(job.cursors[0]) == {"key", "upload", "parts", "rows", "last"}
    assert len(json.dumps(job.cursors[0]["parts"])) < 50


def test_an_export_of_a_campaign_that_nobody_knows_says_that_it_has_no_contacts() -> None:
    job = RecordingJob(campaign_id="sprnig")
    assert export(job)["rows"] == 0
    assert job.messages == ["campaign 'sprnig' has no contacts"]


def test_an_export_without_a_campaign_says_so() -> None:
    with pytest.raises(DoNotRetry, match="campaign_id is missing"):
        export(RecordingJob(campaign_id=None))


def test_a_payload_with_anything_in_it_is_refused() -> None:
    with pytest.raises(ValidationError):
        ExportContacts.model_validate({"key": "x"})
