"""The jobs that ship here, dispatched as callers do, on moto."""

from typing import Any

import pytest

from contacts_table import cells, rows_of
from job_runners.aws import bucket
from job_runners.errors import CampaignMissing
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.store import blobs, queries
from job_runners.store.job_request import JobRequest, Status

pytestmark = pytest.mark.usefixtures("aws")


def outcome(job_type: str, payload: dict[str, Any], campaign: str | None = "spring") -> JobRequest:
    data = JobData(job_type=job_type, payload=payload, organization_id="acme", campaign_id=campaign)
    row = queries.read(get_job_runner().dispatch_job(data).id)
    assert row is not None
    return row


def result(row: JobRequest) -> Any:
    return blobs.get(row.result, row.result_key)


def test_an_import_and_an_export_dispatched_by_name_leave_their_results_in_the_row() -> None:
    file = b"first_name,last_name,cell\nAnn,Lee,2125550123\nBob,Ray,12\n"
    bucket.put_bytes("uploads/acme/contacts.csv", file)
    imported = outcome("import_contacts", {"key": "uploads/acme/contacts.csv"})
    assert (imported.status, imported.progress) == (Status.SUCCEEDED, 100)
    rejected = f"{imported.result_folder}/rejected.csv"
    assert result(imported) == {
        "rows": 2,
        "imported": 1,
        "invalid": 1,
        "repeated": 0,
        "rejected": {"file": rejected, "rows": 1},
    }
    assert cells() == ["+12125550123"]
    exported = outcome("export_contacts", {})
    assert result(exported) == {"file": f"{exported.result_folder}/contacts.csv", "rows": 1}
    assert rows_of(result(exported)["file"])[1][:3] == ["Ann", "Lee", "+12125550123"]


def test_a_file_that_only_its_author_can_fix_fails_the_job_at_once() -> None:
    bucket.put_bytes("uploads/acme/contacts.csv", b"name,phone\nAnn Lee,2125550123\n")
    row = outcome("import_contacts", {"key": "uploads/acme/contacts.csv"})
    assert (row.status, row.attempt, row.error["kind"]) == (Status.FAILED, 1, "MissingColumns")
    assert "no column first_name (did you mean 'name'?)" in row.error["message"]


@pytest.mark.parametrize(
    ("job_type", "payload"),
    [
        ("import_contacts", {"key": "uploads/acme/contacts.csv"}),
        ("assign_texters", {"texters": [{"id": "ada"}]}),
        ("send_first_messages", {"text": "Hi"}),
        ("export_contacts", {}),
    ],
)
def test_a_job_without_its_campaign_is_refused_and_nothing_saved(
    job_type: str, payload: dict[str, Any]
) -> None:
    with pytest.raises(CampaignMissing, match="campaign_id: is required"):
        outcome(job_type, payload, campaign=None)
    assert not queries.page("acme", limit=10).jobs
