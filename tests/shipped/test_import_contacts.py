"""import_contacts through its front door, on moto: which files it copes with."""

import pytest

from contacts_table import ANN, HEADER, cells, contacts, rows_of, run
from job_runners.aws import bucket
from job_runners.shipped.campaigns.importing import rows as contact_rows
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from recording_job import RecordingJob

pytestmark = pytest.mark.usefixtures("aws")


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


def test_one_row_is_counted_as_one() -> None:
    job = RecordingJob()
    run(f"{HEADER}Ann,Lee,2125550123\n", job=job)
    assert job.messages[-1] == "1 row read, 1 contact imported"


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
    assert b"\n2,is too large,Ann" in bucket.get_bytes("results/acme/job/rejected.csv")
    assert cells() == ["+12125550124"]
