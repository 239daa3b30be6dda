"""import_contacts through its front door, on moto: what it refuses, and how it says so."""

import time
from typing import Any

import pytest
from pydantic import ValidationError

from contacts_table import ANN, HEADER, KEY, run
from job_runners.aws import bucket
from job_runners.errors import DoNotRetry
from job_runners.shipped.campaigns.errors import MissingColumns, UnusableFile
from job_runners.shipped.campaigns.importing.columns import columns
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from recording_job import RecordingJob, Stopped

pytestmark = pytest.mark.usefixtures("aws")


def test_a_missing_column_is_named_with_the_nearest_one() -> None:
    with pytest.raises(MissingColumns) as error:
        run("firstname,lastt name,fone,zip\nAnn,Lee,2125550123,1\n")
    assert str(error.value) == (
        "the file has no column last_name (did you mean 'lastt name'?), cell (did you mean 'fone'?)"
        "; it has 4"
    )


@pytest.mark.parametrize("header", ["Ann,Lee,2125550123", "Firth,Lasten,Mobley"])
def test_where_no_column_is_known_nothing_of_the_row_is_repeated(header: str) -> None:
    """It is most likely somebody's name and number."""
    with pytest.raises(MissingColumns) as error:
        run(f"{header}\nBob,Ray,2125550124\n")
    assert str(error.value) == (
        "the file has no column first_name, last_name, cell; its first row has no known column name"
    )


def test_columns_are_limited_in_number_and_size() -> None:
    most = HEADER[:-1] + "".join(f",c{n}" for n in range(997))
    assert run(f"{most}\n{ANN[:-1]}{',x' * 997}\n")["imported"] == 1
    with pytest.raises(UnusableFile, match=r"its first row has 1,001 columns \(limit 1,000"):
        run(f"{most},more\n{ANN[:-1]}{',x' * 998}\n")
    with pytest.raises(UnusableFile, match=r"its first row has 70,027 bytes \(limit 65,536"):
        run(f"{HEADER[:-1]},{'x' * 70_000}\n")


def test_columns_that_all_have_one_name_take_no_longer_than_others() -> None:
    """Trying every number anew for each of them would take a minute here."""
    began = time.process_time()
    named = columns(["first", "last", "cell", *["x"] * 20_000]).custom
    assert time.process_time() - began < 10
    assert [name for _, name in named[:3]] == ["x", "x 2", "x 3"]
    assert len({name for _, name in named}) == 20_000


@pytest.mark.parametrize("file", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n ,\n"])
def test_an_empty_file_says_that_it_is_empty(file: bytes) -> None:
    with pytest.raises(UnusableFile, match=r"the file is empty|has no rows, not even"):
        run(file)


def test_a_quote_left_open_names_its_line() -> None:
    with pytest.raises(UnusableFile, match="the quote in line 3 is never closed"):
        run(f'{HEADER}{ANN}"Bob,Ray,2125550124\nCy,Fox,2125550125\n')


def test_a_quote_left_open_in_a_large_file_is_found_before_the_file_is_held() -> None:
    rest = "Cy,Fox,2125550125\n" * 200_000
    with pytest.raises(UnusableFile, match="starts in line 3 is longer than 1,048,576 bytes"):
        run(f'{HEADER}{ANN}"Bob,Ray,2125550124\n{rest}')


def test_a_utf_16_file_is_refused_by_name() -> None:
    with pytest.raises(UnusableFile, match="UTF-16; save it as CSV UTF-8"):
        run((HEADER + ANN).encode("utf-16"))


def test_a_file_that_is_not_there_is_not_tried_again() -> None:
    with pytest.raises(UnusableFile, match=r"uploads/acme/none\.csv: the file doesn't exist"):
        import_contacts(RecordingJob(), ImportContacts(key="uploads/acme/none.csv"))


def test_a_file_replaced_while_it_is_imported_is_not_mixed_with_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("job_runners.shipped.campaigns.importing.csv_records.BLOCK", 64)
    monkeypatch.setattr("job_runners.shipped.campaigns.importing.import_state.CHUNK_ROWS", 1)
    monkeypatch.setattr("job_runners.work.files._READ_AHEAD", 64)

    old = HEADER + "Ann,Lee,2125550123\n" * 20

    class Replacing(RecordingJob):
        def checkpoint(self, *args: Any, **named: Any) -> None:
            bucket.put_bytes(KEY, old.replace("Ann", "Bob").encode())

    with pytest.raises(UnusableFile, match="replaced during the import"):
        run(old, job=Replacing())


def test_a_file_replaced_between_two_invocations_is_not_mixed_with_the_old_one() -> None:
    job = RecordingJob(stop_at=1)
    with pytest.raises(Stopped):
        run(HEADER + ANN, job=job)
    with pytest.raises(UnusableFile, match="replaced during the import"):
        run(HEADER + ANN.replace("Ann", "Bob"), job=RecordingJob(cursor=job.cursors[-1]))


@pytest.mark.parametrize(
    "key",
    [
        "uploads/other/contacts.csv",
        "uploads/acme",
        "uploads/acme/",
        "uploads/acme2/contacts.csv",
        "uploads/acme/../other/contacts.csv",
        "uploads/acme/./contacts.csv",
        "uploads//acme/contacts.csv",
        "/uploads/acme/contacts.csv",
        "results/acme/contacts.csv",
        "Uploads/acme/contacts.csv",
    ],
)
def test_a_file_outside_the_organisations_uploads_is_refused_unread(key: str) -> None:
    bucket.put_bytes(key, (HEADER + ANN).encode())
    with pytest.raises(DoNotRetry, match="must be that of a file under uploads/acme/"):
        import_contacts(RecordingJob(), ImportContacts(key=key))


def test_an_import_without_a_campaign_says_so() -> None:
    with pytest.raises(DoNotRetry, match="campaign_id is missing"):
        run(HEADER + ANN, job=RecordingJob(campaign_id=None))


def test_a_country_that_does_not_exist_is_named() -> None:
    with pytest.raises(DoNotRetry, match="country 'XX' has no phone numbers"):
        run(HEADER + ANN, country="XX")


@pytest.mark.parametrize(
    "payload",
    [{}, {"key": ""}, {"key": KEY, "country": "us"}, {"key": KEY, "more": 1}, {"key": "x" * 1025}],
)
def test_a_payload_that_does_not_fit_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportContacts.model_validate(payload)
