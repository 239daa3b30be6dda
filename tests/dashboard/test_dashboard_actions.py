"""The dashboard in a browser, on the local AWS: what a person does to jobs there."""

import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints, row
from following import follow
from hostile_files import write_contacts
from local_stack import Local

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

ROWS = 2_000


@pytest.fixture
def organization() -> str:
    """Return an organisation that no other test has."""
    return f"org-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def contacts(local: Local, organization: str, tmp_path: Path) -> str:
    """Return the key of a file that can be imported."""
    write_contacts(tmp_path / "contacts.csv", ROWS)
    key = f"uploads/{organization}/contacts.csv"
    s3 = local.client("s3")
    s3.upload_file(str(tmp_path / "contacts.csv"), local.stack.bucket_name, key)
    return key


def failing(local: Local, organization: str) -> str:
    """Return a job that has failed, for there is no such file."""
    payload = {"campaign": "spring", "key": f"uploads/{organization}/missing.csv"}
    job_id = local.dispatch("import_contacts", payload, organization_id=organization)
    assert follow(local.api, job_id)["status"] == "failed"
    return job_id


def later(local: Local, organization: str) -> str:
    """Return a job that starts in an hour."""
    return local.dispatch(
        "export_contacts", {"campaign": "spring"}, organization_id=organization, delay=3600
    )


# --- dispatch -----------------------------------------------------------------------------------


def test_a_job_is_dispatched_from_a_form_and_watched_to_its_end(
    page: Page, dashboard: str, organization: str, contacts: str
) -> None:
    page.goto(f"{dashboard}#/?org={organization}")
    page.get_by_role("link", name="New job").click()
    page.get_by_label("Job type").select_option("import_contacts")
    page.get_by_label("Key", exact=True).fill(contacts)
    page.get_by_label("Organization").fill(organization)
    page.get_by_label("Campaign").fill("spring")
    page.get_by_role("button", name="Dispatch").click()
    expect(page.locator(".title .status")).to_have_text("succeeded")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "100")
    expect(page.get_by_text("100 %")).to_be_visible()
    expect(page.get_by_role("region", name="Result").last).to_contain_text('"imported": 1940')
    did = page.get_by_role("table", name="What the job did")
    expect(did.get_by_role("rowheader", name="Attempt 1")).to_be_visible()


def test_a_file_is_uploaded_in_the_form_and_read_by_the_job(
    page: Page, dashboard: str, organization: str, tmp_path: Path, complaints: Complaints
) -> None:
    path = tmp_path / "contacts of may.csv"
    write_contacts(path, ROWS)
    page.goto(f"{dashboard}#/new?type=import_contacts&org={organization}")
    page.get_by_label("Campaign").fill("spring")
    chosen = page.get_by_label("Upload a file for Key")
    chosen.focus()  # by keyboard too
    chosen.set_input_files(path)
    key = page.get_by_label("Key", exact=True)
    expect(key).to_have_value(
        re.compile(f"^uploads/{organization}/[0-9a-f]{{12}}/contacts of may.csv$")
    )
    page.get_by_role("button", name="Dispatch").click()
    expect(page.locator(".title .status")).to_have_text("succeeded")
    expect(page.get_by_role("region", name="Result").last).to_contain_text('"imported": 1940')
    page.goto(f"{dashboard}#/new?type=import_contacts&org={organization}")
    large = tmp_path / "large.csv"
    large.write_bytes(bytes(4 * 1024 * 1024 + 1))
    page.get_by_label("Upload a file for Key").set_input_files(large)
    expect(page.get_by_role("status")).to_contain_text("Upload it with job-runners upload")


def test_what_the_api_refuses_is_said_at_its_field(
    page: Page, dashboard: str, organization: str, complaints: Complaints
) -> None:
    complaints.expected.append("422")
    page.goto(f"{dashboard}#/new?type=import_contacts&org={organization}")
    page.get_by_label("Campaign").fill("spring")
    page.get_by_label("Key", exact=True).fill("")
    page.get_by_label("Country").fill("Germany")
    page.get_by_role("button", name="Dispatch").click()
    expect(page.get_by_label("Key", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.get_by_label("Country")).to_have_accessible_description(
        re.compile("String should match pattern")
    )
    expect(page.get_by_label("Organization")).to_have_value(organization)


# --- retry --------------------------------------------------------------------------------------


def test_a_failed_job_is_found_fixed_and_run_again(
    page: Page, dashboard: str, local: Local, organization: str, contacts: str
) -> None:
    job_id = failing(local, organization)
    page.goto(f"{dashboard}#/failed?org={organization}")
    row(page, job_id).get_by_role("link").click()
    page.get_by_role("link", name="Edit and retry").click()
    expect(page.locator("form .failure")).to_contain_text("the file doesn't exist")
    page.get_by_label("Key", exact=True).fill(contacts)
    page.get_by_role("button", name="Retry with this payload").click()
    expect(page.locator(".title .status")).to_have_text("succeeded")
    expect(page.get_by_role("region", name="Payload").last).to_contain_text(contacts)


def test_a_payload_is_edited_as_json_too(
    page: Page, dashboard: str, local: Local, organization: str, contacts: str
) -> None:
    job_id = failing(local, organization)
    page.goto(f"{dashboard}#/retry/{job_id}")
    page.get_by_role("button", name="Edit as JSON").click()
    page.get_by_label("JSON").fill('{"key": ')
    page.get_by_role("button", name="Retry with this payload").click()
    expect(page.get_by_label("JSON")).to_have_accessible_description(re.compile("is not JSON"))
    page.get_by_label("JSON").fill(f'{{"campaign": "may", "key": "{contacts}", "country": "CA"}}')
    page.get_by_role("button", name="Edit as fields").click()
    expect(page.get_by_label("Country")).to_have_value("CA")
    page.get_by_role("button", name="Retry with this payload").click()
    expect(page.locator(".title .status")).to_have_text("succeeded")


def test_all_failed_jobs_shown_are_retried_with_progress(
    page: Page, dashboard: str, local: Local, organization: str
) -> None:
    ids = [failing(local, organization) for _ in range(3)]
    page.goto(f"{dashboard}#/failed?org={organization}")
    page.get_by_label("Select all listed jobs").check()
    page.get_by_role("button", name="Retry 3").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("3 of 3 jobs retried")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Retried")).to_have_attribute("value", "3")
    for job_id in ids:
        job = local.api.get(f"/jobs/{job_id}").json
        assert job["queued_at"] > job["created_at"]


def test_one_failed_job_is_retried_where_it_is_listed(
    page: Page, dashboard: str, local: Local, organization: str
) -> None:
    job_id = failing(local, organization)
    before = local.api.get(f"/jobs/{job_id}").json["queued_at"]
    page.goto(f"{dashboard}#/failed?org={organization}")
    row(page, job_id).get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status").last).to_have_text("Queued for a retry")
    assert local.api.get(f"/jobs/{job_id}").json["queued_at"] > before


# --- cancel and delete ----------------------------------------------------------------------------


def test_a_job_is_canceled_then_deleted_each_after_a_question(
    page: Page, dashboard: str, local: Local, organization: str
) -> None:
    job_id = later(local, organization)
    page.goto(f"{dashboard}#/job/{job_id}")
    expect(page.locator(".title .status")).to_have_text("scheduled")
    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Escape")
    assert local.api.get(f"/jobs/{job_id}").json["status"] == "scheduled"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".title .status")).to_have_text("canceled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text(f"{organization} has no jobs yet.")).to_be_visible()
    assert local.api.get(f"/jobs/{job_id}").status == 404


# --- pause --------------------------------------------------------------------------------------


def test_a_queue_is_paused_and_resumed_by_its_switch(
    page: Page, dashboard: str, local: Local
) -> None:
    queue = f"queue-{uuid.uuid4().hex[:8]}"
    page.goto(f"{dashboard}#/queues")
    page.get_by_label("Find a queue").fill(queue)
    page.get_by_role("button", name="Show").click()
    switch = page.get_by_role("switch", name=f"Pause {queue}")
    expect(switch).not_to_be_checked()
    switch.click()
    expect(switch).to_be_checked()
    assert queue in [each["name"] for each in local.api.get("/paused").json["paused"]]
    page.reload()
    switch.click()
    expect(switch).not_to_be_checked()
    assert queue not in [each["name"] for each in local.api.get("/paused").json["paused"]]
