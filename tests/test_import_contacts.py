"""import_contacts through its front door, on moto: what files it copes with and what it refuses."""

from typing import Any

import pytest
from pydantic import ValidationError

from contacts_table import cells, contacts, rows_of
from errors import DoNotRetry, MissingColumns, UnusableFile
from jobs import contact_rows
from jobs.import_contacts import ImportContacts, import_contacts
from recording_job import RecordingJob
from store import bucket

pytestmark = pytest.mark.usefixtures("aws")

KEY = "uploads/acme/contacts.csv"
HEADER = "first_name,last_name,cell\n"
ANN = "Ann,Lee,(212) 555-0123\n"


def run(file: str | bytes, *, country: str = "US", job: RecordingJob | None = None) -> Any:
    bucket.put_bytes(KEY, file.encode() if isinstance(file, str) else file)
    return import_contacts(job or RecordingJob(), ImportContacts(key=KEY, country=country))


# --- what becomes a contact -----------------------------------------------------------------------


def test_every_column_has_its_place_in_the_contact() -> None:
    result = run(
        "first_name,last_name,cell,zip,external_id,Pet's name\n"
        "Ann,Lee,(212) 555-0123,10001,a-1,Rex\n"
    )
    assert contacts() == [
        {
            "first_name": "Ann",
            "last_name": "Lee",
            "cell": "+12125550123",
            "zip": "10001",
            "external_id": "a-1",
            "custom_fields": {"Pet's name": "Rex"},
        }
    ]
    assert result == {"rows": 1, "imported": 1, "invalid": 0, "repeated": 0, "rejected": None}


@pytest.mark.parametrize(
    "header",
    [
        "First Name,LAST-NAME,Cell",
        "firstName,last_name, Cell Phone ",
        "first_name,last_name,Mobile Number",
        "given-name,surname,phone_number",
        '"first_name","last_name","cell"',
    ],
)
def test_columns_are_found_however_they_are_spelt(header: str) -> None:
    run(f"{header}\n{ANN}")
    assert contacts() == [{"first_name": "Ann", "last_name": "Lee", "cell": "+12125550123"}]


def test_of_several_phone_columns_cell_is_taken_and_the_others_are_custom_fields() -> None:
    run("phone,first_name,last_name,cell\n(212) 555-0199,Ann,Lee,(212) 555-0123\n")
    assert cells() == ["+12125550123"]
    assert contacts()[0]["custom_fields"] == {"phone": "(212) 555-0199"}


def test_columns_without_a_name_or_with_a_repeated_one_lose_nothing() -> None:
    run("first_name,last_name,cell,,note,note\nAnn,Lee,2125550123,x,y,z\n")
    assert contacts()[0]["custom_fields"] == {"column 4": "x", "note": "y", "note 2": "z"}


def test_numbers_are_dialled_from_the_country_given() -> None:
    run(f"{HEADER}Ann,Lee,07400 123456\nBob,Ray,+1 212 555 0123\n", country="GB")
    assert cells() == ["+12125550123", "+447400123456"]


def test_more_than_one_batch_of_contacts_is_written_whole() -> None:
    rows = "".join(f"Ann,Lee,212555{number:04d}\n" for number in range(100, 2600))
    job = RecordingJob()
    assert run(HEADER + rows, job=job)["imported"] == 2500
    assert len(set(cells())) == 2500
    assert job.shares == sorted(share for share in job.shares if share is not None)
    assert job.shares[-1] == 100
    assert job.messages[-1] == "2,500 rows read, 2,500 contacts imported"


def test_the_same_import_twice_leaves_the_same_contacts() -> None:
    file = f"{HEADER}{ANN}Bob,Ray,2125550124\n"
    first = run(file)
    before = contacts()
    assert run(file, job=RecordingJob(job_id="again")) == first
    assert contacts() == before


def test_two_organisations_with_a_campaign_of_one_name_share_nothing() -> None:
    run(HEADER + ANN)
    bucket.put_bytes("uploads/other/c.csv", f"{HEADER}Bob,Ray,2125550124\n".encode())
    import_contacts(
        RecordingJob(organization_id="other"), ImportContacts(key="uploads/other/c.csv")
    )
    assert cells() == ["+12125550123"]
    assert cells(organization="other") == ["+12125550124"]


# --- files as they come ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_any_line_end_delimiter_and_byte_order_mark_will_do(
    bom: str, delimiter: str, end: str
) -> None:
    lines = ["first_name,last_name,cell", "Ann,Lee,2125550123", "Bob,Ray,2125550124"]
    run(bom + end.join(lines).replace(",", delimiter))
    assert cells() == ["+12125550123", "+12125550124"]


def test_a_header_with_commas_in_a_name_is_still_read_by_its_semicolons() -> None:
    run("first_name;last_name;cell;address (street, city, zip, country)\nA;B;2125550123;C\n")
    assert contacts()[0]["custom_fields"] == {"address (street, city, zip, country)": "C"}


def test_a_quoted_field_may_hold_delimiters_quotes_and_line_ends() -> None:
    run(f'{HEADER}"Ann ""A"", ""B""\r\nC",Lee,2125550123\r\nBob,Ray,2125550124\r\n')
    assert [each["first_name"] for each in contacts()] == ['Ann "A", "B"\r\nC', "Bob"]


def test_each_record_has_its_own_encoding() -> None:
    run(
        HEADER.encode()
        + "Zoë,Łuk,2125550123\n".encode()
        + "Zoë,Müller\x80,2125550124\n".encode("latin-1")
    )
    names = [(each["first_name"], each["last_name"]) for each in contacts()]
    assert names == [("Zoë", "Łuk"), ("Zoë", "Müller€")]


def test_lines_without_any_value_are_not_rows() -> None:
    result = run(f"\n\n{HEADER}\n{ANN}\n,,\n , ,\n\n")
    assert (result["rows"], result["imported"]) == (1, 1)


def test_a_file_with_only_a_header_imports_nothing_and_succeeds() -> None:
    for file in (HEADER, HEADER.strip(), "\ufeff" + HEADER):
        assert run(file) == {
            "rows": 0,
            "imported": 0,
            "invalid": 0,
            "repeated": 0,
            "rejected": None,
        }


# --- rows that are left out -----------------------------------------------------------------------


def test_rejected_rows_are_listed_with_their_number_and_reason() -> None:
    result = run(
        f"{HEADER}"
        '"Ann\nMary",Lee,2125550123\n'  # row 2, lines 2 and 3
        "\n"
        "Bob,Ray,12\n"
        "Cy,Fox,+1 (212) 555-0123\n"
        "Dee,Poe,\n"
        "Eve,Ash,2125550124,extra\n"
        "Flo,Orr\n"
        "Gus,Kay,2125550125\n"
    )
    assert result == {
        "rows": 7,
        "imported": 2,
        "invalid": 4,
        "repeated": 1,
        "rejected": {"file": "results/acme/job/rejected.csv", "rows": 5},
    }
    assert rows_of("results/acme/job/rejected.csv") == [
        ["row", "reason", "first_name", "last_name", "cell"],
        ["4", "is not a valid phone number", "Bob", "Ray", "12"],
        ["5", "has the number of an earlier row", "Cy", "Fox", "'+1 (212) 555-0123"],
        ["6", "has no phone number", "Dee", "Poe", ""],
        ["7", "has 4 columns, but the header has 3", "Eve", "Ash", "2125550124", "extra"],
        ["8", "has 2 columns, but the header has 3", "Flo", "Orr"],
    ]


def test_the_first_row_of_a_number_wins() -> None:
    run(f"{HEADER}{ANN}Bob,Ray,+1-212-555-0123\n")
    assert [each["first_name"] for each in contacts()] == ["Ann"]


def test_rejected_values_and_column_names_never_run_as_formulas() -> None:
    run("first_name,last_name,cell,=1+1\n=cmd|' /C calc'!A0,@SUM(A1),12,-2+3\n")
    header, row = rows_of("results/acme/job/rejected.csv")
    assert header[-1] == "'=1+1"
    assert row[2:] == ["'=cmd|' /C calc'!A0", "'@SUM(A1)", "12", "'-2+3"]


def test_a_row_too_large_for_an_item_is_rejected_and_the_others_imported() -> None:
    header = "first_name,last_name,cell,note\n"
    huge = "x" * (contact_rows._LARGEST_ITEM + 1)
    result = run(f"{header}Ann,Lee,2125550123,{huge}\nBob,Ray,2125550124,{huge[:300_000]}\n")
    assert (result["imported"], result["invalid"]) == (1, 1)
    assert b"\n2,is too large to be kept,Ann" in bucket.get_bytes("results/acme/job/rejected.csv")
    assert cells() == ["+12125550124"]


# --- files that can't be imported -----------------------------------------------------------------


def test_a_missing_column_is_named_with_the_nearest_one_and_all_there_are() -> None:
    with pytest.raises(MissingColumns) as error:
        run("firstname,lastt name,fone,zip\nAnn,Lee,2125550123,1\n")
    assert str(error.value) == (
        "the file has no column last_name (did you mean 'lastt name'?), cell (did you mean 'fone'?)"
        "; its columns are 'firstname', 'lastt name', 'fone', 'zip'"
    )


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
    with pytest.raises(UnusableFile, match=r"uploads/acme/none\.csv: there is no such file"):
        import_contacts(RecordingJob(), ImportContacts(key="uploads/acme/none.csv"))


def test_a_file_replaced_while_it_is_imported_is_not_mixed_with_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.csv_records.BLOCK", 64)
    monkeypatch.setattr("jobs.contact_import.CHUNK_ROWS", 1)

    class Replacing(RecordingJob):
        def checkpoint(self, *args: Any, **named: Any) -> None:
            bucket.put_bytes(KEY, (HEADER + ANN).encode())

    with pytest.raises(UnusableFile, match="replaced while it was being imported"):
        run(HEADER + "Ann,Lee,2125550123\n" * 20, job=Replacing())


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
    with pytest.raises(DoNotRetry, match="must name a file under uploads/acme/"):
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
