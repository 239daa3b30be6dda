"""PUT /uploads/NAME: a file for the jobs of an organization."""

import pytest

from api_events import call
from job_runners.api.body import MAX_FILE_BYTES
from job_runners.aws import bucket, clients

pytestmark = pytest.mark.usefixtures("aws")

ACME = "organization_id=acme"


def test_a_file_is_stored_as_it_was_sent_and_replaces_no_other() -> None:
    content = bytes(range(256))
    keys = []
    for _ in range(2):
        answer = call("PUT", "/uploads/list%20of%20may.csv", query=ACME, raw=content)
        assert answer.status == 201, answer.text
        keys.append(answer.json["key"])
    for key in keys:
        assert key.startswith("uploads/acme/")
        assert key.endswith("/list of may.csv")
        assert bucket.get_bytes(key) == content
    assert keys[0] != keys[1]


def test_a_file_that_is_too_large_is_refused_with_advice() -> None:
    largest = call("PUT", "/uploads/a", query=ACME, raw=bytes(MAX_FILE_BYTES))
    assert largest.status == 201
    answer = call("PUT", "/uploads/a", query=ACME, raw=bytes(MAX_FILE_BYTES + 1))
    assert (answer.status, answer.json["type"]) == (413, "urn:job-runners:too-large")
    assert "job-runners upload" in answer.json["detail"]


@pytest.mark.parametrize("name", ["..", "a%00b", "a%0Ab", "x" * 129])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    assert call("PUT", f"/uploads/{name}", query=ACME, raw=b"x").status in (404, 422)
    assert "Contents" not in clients.client("s3").list_objects_v2(Bucket="bucket")
