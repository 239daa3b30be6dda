"""What an import turns into contacts, which rows it rejects, and which files it refuses."""

import json
from itertools import pairwise
from typing import Any

import pytest

from campaign import contacts_file, import_contacts
from campaign.contacts import dynamodb
from campaign_world import ANN, HEADER, SPRING, cells, contacts_of, import_file, rows_of
from job_runners.testing.files import read_file, upload
from job_runners.testing.job_runner import InlineRunner, InvalidPayload
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded
from job_runners.work import RunningJob

TWO = f"{HEADER}{ANN}Bob,Ray,2125550124\n"


def result_of(job_runner: InlineRunner, file: str | bytes, **more: Any) -> Any:
    return assert_succeeded(import_file(job_runner, file, **more))


def error_of(job_runner: InlineRunner, file: str | bytes, **more: Any) -> str:
    """Return the error's text. A mistake in the file isn't tried again."""
    job = import_file(job_runner, file, **more)
    assert job.attempt == 1
    return str(assert_failed(job))


# --- what becomes a contact -----------------------------------------------------------------------


def test_every_column_has_its_place_in_the_contact(job_runner: InlineRunner) -> None:
    header = "zip,Pet's name, cell ,first_name,last_name,external_id,note"
    job = import_file(job_runner, f"{header}\n10001,Rex,(212) 555-0123,Ann,Lee,a-1,\n")
    none = {"invalid": 0, "repeated": 0, "rejected": None}
    assert assert_succeeded(job) == {"rows": 1, "imported": 1, **none}
    assert (job.progress, job.message) == (100, "1 row read, 1 contact imported")
    custom = {"Pet's name": "Rex", "note": ""}
    ids = {"zip": "10001", "external_id": "a-1"}
    names = {"first_name": "Ann", "last_name": "Lee"}
    assert contacts_of() == [{**names, "cell": "+12125550123", **ids, "custom_fields": custom}]


def test_numbers_belong_to_the_given_country(job_runner: InlineRunner) -> None:
    file = f"{HEADER}Ann,Lee,07400 123456\nBob,Ray,+1 212 555 0123\n"
    result_of(job_runner, file, country="GB")
    assert cells() == ["+12125550123", "+447400123456"]


def test_many_contacts_are_written_whole_and_a_second_import_changes_nothing(
    job_runner: InlineRunner,
) -> None:
    file = HEADER + "".join(f"Ann,Lee,212555{number:04d}\n" for number in range(100, 1300))
    assert result_of(job_runner, file)["imported"] == 1200
    before = contacts_of()
    assert len(before) == 1200
    assert result_of(job_runner, file)["imported"] == 1200
    assert contacts_of() == before


def test_organizations_and_campaigns_share_nothing(job_runner: InlineRunner) -> None:
    result_of(job_runner, HEADER + ANN)
    key = upload("c.csv", f"{HEADER}Bob,Ray,2125550124\n".encode(), organization_id="other")
    job_runner.run("import_contacts", {**SPRING, "key": key}, organization_id="other")
    result_of(job_runner, f"{HEADER}Cy,Fox,2125550125\n", campaign="autumn")
    assert cells() == ["+12125550123"]
    assert cells(organization="other") == ["+12125550124"]
    assert cells("autumn") == ["+12125550125"]


# --- files as they come ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_any_line_end_and_byte_order_mark_will_do(
    job_runner: InlineRunner, bom: str, end: str
) -> None:
    lines = ["first_name,last_name,cell", "Ann,Lee,2125550123", "Bob,Ray,2125550124"]
    result_of(job_runner, bom + end.join(lines))
    assert cells() == ["+12125550123", "+12125550124"]


def test_fields_may_be_quoted(job_runner: InlineRunner) -> None:
    result_of(job_runner, f'{HEADER}"Ann ""A"", ""B""\r\nC",Łuk,2125550123\r\n')
    names = [(each["first_name"], each["last_name"]) for each in contacts_of()]
    assert names == [('Ann "A", "B"\r\nC', "Łuk")]


@pytest.mark.parametrize(
    ("file", "rows"), [(f"\n\n{HEADER}\n{ANN}\n,,\n , ,\n\n", 1), (HEADER, 0), (HEADER.strip(), 0)]
)
def test_lines_without_any_value_are_not_rows(
    job_runner: InlineRunner, file: str, rows: int
) -> None:
    result = result_of(job_runner, file)
    assert (result["rows"], result["imported"], result["rejected"]) == (rows, rows, None)


# --- rejected rows --------------------------------------------------------------------------------


def test_rejected_rows_are_listed_with_their_number_and_reason(job_runner: InlineRunner) -> None:
    result = result_of(
        job_runner,
        f"{HEADER}"
        '"Ann\nMary",Lee,2125550123\n'  # row 2, lines 2 and 3
        "\n"
        "Bob,Ray,12\n"
        "Cy,Fox,+1 (212) 555-0123\n"
        "=Dee,@Poe,\n"
        "Eve,Ash,2125550124,extra\n"
        "Flo,Orr\n"
        "Gus,Kay,2125550125\n",
    )
    counts = {name: result[name] for name in ("rows", "imported", "invalid", "repeated")}
    assert counts == {"rows": 7, "imported": 2, "invalid": 4, "repeated": 1}
    assert result["rejected"]["rows"] == 5
    assert rows_of(result["rejected"]["file"]) == [
        ["row", "reason", "first_name", "last_name", "cell"],
        ["4", "is not a valid phone number", "Bob", "Ray", "12"],
        ["5", "has the number of an earlier row", "Cy", "Fox", "'+1 (212) 555-0123"],
        ["6", "has no phone number", "'=Dee", "'@Poe", ""],  # never a formula
        ["7", "has 4 columns, but the header has 3", "Eve", "Ash", "2125550124", "extra"],
        ["8", "has 2 columns, but the header has 3", "Flo", "Orr"],
    ]
    assert contacts_of()[0]["first_name"] == "Ann\nMary"  # the first row of a number wins


def test_a_row_too_large_for_an_item_is_rejected(job_runner: InlineRunner) -> None:
    most = "\U0001f600" * (import_contacts._LONGEST_ROW - 16)  # four bytes each
    rows = f"Ann,Lee,2125550123,{most}x\nBob,Ray,2125550124,{most}\n"
    result = result_of(job_runner, f"first_name,last_name,cell,note\n{rows}")
    assert b"\n2,is too large,Ann" in read_file(result["rejected"]["file"])
    assert cells() == ["+12125550124"]


@pytest.mark.parametrize("taken", [1, 13])
def test_items_that_dynamodb_leaves_unprocessed_are_sent_again(
    job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    real = dynamodb().batch_write_item

    def take_some(*, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - AWS's name
        puts = RequestItems["contacts"]
        real(RequestItems={"contacts": puts[:taken]})
        return {"UnprocessedItems": {"contacts": puts[taken:]} if puts[taken:] else {}}

    monkeypatch.setattr(dynamodb(), "batch_write_item", take_some)
    result_of(job_runner, HEADER + "".join(f"Ann,Lee,212555{n:04d}\n" for n in range(100, 160)))
    assert len(cells()) == 60


# --- refused files --------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "missing columns": ("first_name,name,fone\nA,B,2\n", "names no column last_name, cell"),
    "no header": (ANN, "the first row names no column first_name, last_name, cell"),
    "a long header": (f"{HEADER[:-1]},{'x' * 9_000}\n", "longer than 8,192 bytes"),
    "two columns of a name": (f"{HEADER[:-1]},a,b, a\n", "needs a different name for each column"),
    "a column without a name": (f"{HEADER[:-1]},\n", "needs a different name for each column"),
    "empty": (b"", "the file has no rows, not even a header"),
    "only empty lines": (b"\xef\xbb\xbf\n ,\n", "the file has no rows, not even a header"),
    "an open quote": (f'{HEADER}{ANN}"Bob,R,1\nCy,F,1\n', "row 3: unexpected end of data"),
    "an open quote in a large file": (
        f'{HEADER}{ANN}"Bob,Ray,2125550124\n' + "Cy,Fox,2125550125\n" * 120_000,
        "row 3: longer than 1,048,576 bytes; it may have an open quote",
    ),
    "old line ends": (f"{HEADER}{ANN}".replace("\n", "\r"), "row 1: new-line character"),
    "UTF-16": ((HEADER + ANN).encode("utf-16"), "row 1 isn't UTF-8; save the file as CSV UTF-8"),
    "another encoding": (f"{HEADER}Zoë,Lee,1\n".encode("latin-1"), "row 2 isn't UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_only_its_author_can_mend_is_refused(
    job_runner: InlineRunner, name: str
) -> None:
    file, why = REFUSED[name]
    assert why in error_of(job_runner, file)
    assert not cells()


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("uploads/default/none.csv", "the file doesn't exist; upload it first"),
        ("uploads/other/contacts.csv", "must be that of a file under uploads/default/"),
        ("uploads/default2/contacts.csv", "must be that of a file under uploads/default/"),
        ("results/default/contacts.csv", "must be that of a file under uploads/default/"),
        ("uploads/default/../other/contacts.csv", "This job can't use the file"),
    ],
)
def test_only_the_organizations_own_uploads_are_read(
    job_runner: InlineRunner, key: str, why: str
) -> None:
    for organization in ("other", "default2"):
        upload("contacts.csv", (HEADER + ANN).encode(), organization_id=organization)
    job = job_runner.run("import_contacts", {**SPRING, "key": key})
    assert why in str(assert_failed(job))
    assert job.attempt == 1


def test_a_country_that_does_not_exist_is_named(job_runner: InlineRunner) -> None:
    assert "country 'XX' has no phone numbers" in error_of(job_runner, TWO, country="XX")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {**SPRING, "key": ""},
        {"key": "k"},
        {"campaign": "", "key": "k"},
        {**SPRING, "key": "k", "country": "us"},
        {**SPRING, "key": "k", "more": 1},
    ],
)
def test_a_payload_that_does_not_fit_is_refused(
    job_runner: InlineRunner, payload: dict[str, Any]
) -> None:
    with pytest.raises(InvalidPayload):
        job_runner.dispatch("import_contacts", payload)


# --- hostile files --------------------------------------------------------------------------------

PEOPLE = ("Zanzibarova", "Quixotella", "2125550187", "Firth", "Lasten", "Mobley", "1600555")
ZAN = "Zanzibarova,Quixotella,+1 212 555 0187 / 2125550187\n"
PRIVATE: dict[str, bytes] = {
    "no header": ZAN.encode(),
    "no header, one column": b"Zanzibarova 2125550187\nQuixotella\n",
    "an empty row, then no header": f",,\n{ZAN}".encode(),
    "people for columns": (HEADER[:-1] + ",Firth" * 200 + "\n").encode(),
    "a long name for a column": (HEADER[:-1] + ",Mobley" + "x" * 9_000 + "\n").encode(),
    "an open quote": f'{HEADER}{ZAN}"{ZAN}'.encode(),
    "UTF-16": ZAN.encode("utf-16"),
    "rows of other widths": f"{HEADER}Zanzibarova\n{ZAN[:-1]},{ZAN}".encode(),
    "no numbers": f"{HEADER}Zanzibarova,Quixotella,1600555\n".encode(),
    "bytes of no encoding": HEADER.encode() + b"Zanzibarova\x81\x00,\xff,2125550187\n",
    "twice the same": HEADER.encode() + b"Firth,Lasten,2125550187\n" * 2,
}


@pytest.mark.parametrize("name", PRIVATE)
def test_no_person_gets_into_the_log_or_an_error(
    job_runner: InlineRunner, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    job = import_file(job_runner, PRIVATE[name])
    logged = [str(vars(record)) for record in caplog.records]
    shown = " ".join([*logged, str(job.error), str(job.message), json.dumps(job.cursor)]).lower()
    assert [person for person in PEOPLE if person.lower() in shown] == []


MB = 1024 * 1024
SLOW = {
    "empty lines": HEADER + "\r\n" * MB,
    "quoted nothing": HEADER + '"",,""\n' * (MB // 4),
    "wide rows": HEADER[:-1]
    + "".join(f",{n}" for n in range(1500))
    + f"\n{ANN[:-1]}{',' * 1500}\n" * 500,
    "long names of columns": f"{HEADER[:-1]},{'x' * 8_000}\n"
    + "".join(f"A,B,212555{n:04},\n" for n in range(60)),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_bounded_number_of_bytes_is_read_between_two_checkpoints(
    job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """So a job notices within seconds that it was canceled, and needs little memory."""
    at: list[int] = []
    checkpoint = RunningJob.checkpoint

    def noted(job: RunningJob, cursor: Any = None, **more: Any) -> None:
        at.append(at[-1] if cursor is None else cursor["at"][0])
        assert len(json.dumps(cursor)) < 2000
        checkpoint(job, cursor, **more)

    monkeypatch.setattr(RunningJob, "checkpoint", noted)
    at.append(0)
    result_of(job_runner, SLOW[name])
    assert at[-1] == len(SLOW[name].encode())
    read = [after - before for before, after in pairwise(at)]
    assert max(read) <= contacts_file.CHUNK_BYTES + 64 * 1024  # up to one record more
