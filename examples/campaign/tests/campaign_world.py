"""The contacts of a campaign in the simulated AWS, and a fake SNS."""

import csv
import io
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from campaign.contacts import (
    Contact,
    assign,
    assignments,
    contacts,
    dynamodb,
    organization_campaign,
    table,
)
from job_runners.testing.files import read_file, upload
from job_runners.testing.job_runner import InlineRunner
from job_runners.testing.saved_jobs import SavedJob

SPRING = {"campaign": "spring"}
HEADER = "first_name,last_name,cell\n"
ANN = "Ann,Lee,(212) 555-0123\n"

Answer = Callable[[], AWSResponse]


def cell(number: int) -> str:
    return f"+1212555{number:04d}"


def import_file(job_runner: InlineRunner, file: str | bytes, **more: Any) -> SavedJob:
    """Upload a file, import it into the campaign `spring`, and return the finished job."""
    key = upload("contacts.csv", file.encode() if isinstance(file, str) else file)
    return job_runner.run("import_contacts", {**SPRING, "key": key, **more})


def contact(number: int, key: str = "default#spring", **fields: Any) -> Contact:
    """Return a contact. `key` has the organization and the campaign."""
    given = {"first_name": f"Ann {number}", "last_name": "Lee", **fields}
    return Contact(organization_campaign=key, cell=cell(number), **given)


def keep(numbers: range, campaign: str = "spring", organization: str = "default") -> None:
    """Write contacts, as an import would."""
    for number in numbers:
        put(contact(number, organization_campaign(organization, campaign)))


def put(contact: Contact) -> None:
    dynamodb().put_item(TableName=table(), Item=contact.item())


def give(*numbers: int, to: str = "ada", campaign: str = "spring") -> None:
    """Assign contacts to a texter, as an earlier job would."""
    for number in numbers:
        assert assign(f"default#{campaign}", cell(number), to, "earlier") is None


def contacts_of(campaign: str = "spring", organization: str = "default") -> list[dict[str, Any]]:
    """Return a campaign's contacts by number, with the fields that have a value."""
    key = organization_campaign(organization, campaign)
    found = [vars(contact) for contact, _ in contacts(key)]
    assert {each["organization_campaign"] for each in found} <= {key}
    return [
        {name: value for name, value in each.items() if value and name != "organization_campaign"}
        for each in found
    ]


def cells(campaign: str = "spring", organization: str = "default") -> list[str]:
    return [each["cell"] for each in contacts_of(campaign, organization)]


def texters(campaign: str = "spring") -> list[str | None]:
    """Return the texter of each contact, by number."""
    return [found and found.texter for _, found in assignments(f"default#{campaign}")]


def statuses() -> list[str | None]:
    """Return the status of each contact's first message, by number."""
    return [found and str(found.message_status) for _, found in assignments("default#spring")]


def rows_of(key: str) -> list[list[str]]:
    """Return the rows of a CSV file that a job has written."""
    return list(csv.reader(io.StringIO(read_file(key).decode(), newline="")))


class Files:
    """The files of a job, in memory. A work file is never replaced by one with other bytes."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}

    def work_file(self, name: str) -> str:
        return f"work/{name}"

    def result_file(self, name: str) -> str:
        return f"result/{name}"

    def checkpoint(self, *_: Any, **__: Any) -> None:
        pass

    def read_file(self, key: str) -> bytes:
        return self.written[key]

    def write_file(self, key: str, data: bytes | Iterable[bytes], **_: Any) -> str:
        whole = data if isinstance(data, bytes) else b"".join(data)
        assert key.startswith("result/") or self.written.get(key, whole) == whole
        self.written[key] = whole
        return key


class Sns:
    """Answers in place of SNS. A test can replace `answer` by a failure."""

    def __init__(self, record: Callable[[Any], Any]) -> None:
        self._record = record
        self.requests: list[dict[str, list[str]]] = []
        self.clients = 0  # that were created
        self.before_answering: Callable[[], object] = lambda: None
        self.answer: Answer = accepted

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The number and the text of each request, whether it was accepted or not."""
        return [(each["PhoneNumber"][0], each["Message"][0]) for each in self.requests]

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        assert isinstance(request.body, str)
        self.requests.append(parse_qs(request.body))
        self.before_answering()
        answer = self.answer()
        if answer.status_code == 200:
            self._record(self.texts[-1])
        return answer


class _Body(bytes):
    def stream(self, **_: Any) -> list[bytes]:
        return [self]


def _response(status: int, body: str) -> AWSResponse:
    return AWSResponse("https://sns", status, HTTPHeaders(), _Body(body.encode()))


def accepted() -> AWSResponse:
    result = "<PublishResult><MessageId>1</MessageId></PublishResult>"
    return _response(200, f"<PublishResponse>{result}</PublishResponse>")


def refusal(status: int, code: str, message: str = "because") -> Answer:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return lambda: _response(status, f"<ErrorResponse>{error}</ErrorResponse>")


def raising(error: BaseException) -> Answer:
    def answer() -> AWSResponse:
        raise error

    return answer
