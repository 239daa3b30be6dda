"""The dashboard in a browser, on the local AWS: finding a job, and why it failed."""

import uuid

import pytest
from playwright.sync_api import Page, expect

from browser import Complaints, row
from following import follow
from local_stack import Local

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("complaints")]

HOSTILE = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def organization() -> str:
    """Return an organisation that no other test has."""
    return f"org-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def failed(local: Local, organization: str) -> str:
    """Return a job that failed, whose every text is hostile."""
    key = f"uploads/{organization}/{HOSTILE}.csv"
    payload = {"campaign": "spring", "key": key}
    job_id = local.dispatch("import_contacts", payload, organization_id=organization)
    assert follow(local.api, job_id)["status"] == "failed"
    return job_id


@pytest.fixture(scope="module")
def succeeded(local: Local, organization: str) -> str:
    """Return a job with a file for its result."""
    job_id = local.dispatch("export_contacts", {"campaign": "spring"}, organization_id=organization)
    assert follow(local.api, job_id)["status"] == "succeeded"
    return job_id


# --- finding a job ----------------------------------------------------------------------------


def test_the_list_leads_to_why_a_job_failed(
    page: Page, dashboard: str, organization: str, failed: str, succeeded: str
) -> None:
    page.goto(f"{dashboard}#/?org={organization}")
    expect(row(page, succeeded)).to_contain_text("succeeded")
    expect(row(page, failed)).to_contain_text("failed")
    expect(row(page, failed)).to_contain_text("ago")
    row(page, failed).get_by_role("link").click()
    expect(page.get_by_role("heading", name="import_contacts")).to_be_visible()
    error = page.get_by_role("region", name="Error")
    expect(error).to_contain_text("the file doesn't exist")
    expect(error.get_by_role("region", name="Traceback")).to_be_hidden()
    error.get_by_text("Traceback", exact=True).click()
    trace = error.get_by_role("region", name="Traceback")
    expect(trace).to_contain_text("Traceback (most recent")
    page.set_viewport_size({"width": 360, "height": 800})  # and there too no line is cut off
    assert trace.evaluate("it => it.scrollWidth <= it.clientWidth")
    did = page.get_by_role("table", name="What the job did")
    expect(did.get_by_role("rowheader", name="Attempt 1")).to_be_visible()


def test_what_a_job_carries_is_shown_as_text(
    page: Page, dashboard: str, organization: str, failed: str
) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    for address in (f"#/?org={organization}", f"#/failed?org={organization}", f"#/job/{failed}"):
        page.goto(dashboard + address)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert page.locator("main img, main script").count() == 0
    assert HOSTILE in page.get_by_role("region", name="Payload").last.inner_text().replace(
        '\\"', '"'
    )
    assert dialogs == []


def test_a_list_is_filtered_and_its_address_holds_the_filters(
    page: Page, dashboard: str, organization: str, failed: str, succeeded: str
) -> None:
    page.goto(f"{dashboard}#/?org={organization}")
    expect(row(page, failed)).to_be_visible()
    page.get_by_label("Type").select_option("export_contacts")
    expect(row(page, failed)).to_have_count(0)
    expect(row(page, succeeded)).to_be_visible()
    page.get_by_role("navigation", name="Status").get_by_text("Running").click()
    expect(page.get_by_text("No matching jobs.")).to_be_visible()
    assert {"type=export_contacts", "status=running", f"org={organization}"} <= {
        *page.url.split("?")[1].split("&")
    }
    page.reload()
    expect(page.get_by_label("Type")).to_have_value("export_contacts")
    expect(page.get_by_label("Organization")).to_have_value(organization)
    page.go_back()
    expect(row(page, succeeded)).to_be_visible()
    page.go_back()
    expect(row(page, failed)).to_be_visible()
    page.get_by_label("Queue").fill("imports")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No matching jobs.")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    expect(row(page, failed)).to_be_visible()
    expect(page.get_by_label("Queue")).to_have_value("")


def test_back_from_a_job_leads_to_the_list_as_it_was(
    page: Page, dashboard: str, organization: str, failed: str
) -> None:
    page.goto(f"{dashboard}#/failed?org={organization}")
    row(page, failed).get_by_role("link").click()
    expect(page.get_by_role("region", name="Error")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Failed", exact=True)).to_be_visible()
    expect(row(page, failed)).to_contain_text("1 of")


def test_pages_of_a_list_follow_one_another(page: Page, dashboard: str, local: Local) -> None:
    many = f"many-{uuid.uuid4().hex[:8]}"
    ids = [
        local.dispatch("export_contacts", {"campaign": "spring"}, organization_id=many, delay=3600)
        for _ in range(26)
    ]
    page.goto(f"{dashboard}#/?org={many}")
    page.get_by_role("link", name="Older").click()
    expect(row(page, ids[0])).to_be_visible()
    expect(row(page, ids[25])).to_have_count(0)
    page.get_by_role("link", name="Newest").click()
    expect(row(page, ids[25])).to_be_visible()
    expect(page.get_by_role("region", name="Recent numbers")).to_contain_text("all 26 jobs")


def test_a_result_leads_to_its_file(page: Page, dashboard: str, succeeded: str) -> None:
    page.goto(f"{dashboard}#/job/{succeeded}")
    with page.expect_download() as download:
        page.get_by_role("link", name="contacts.csv").click()
    assert download.value.suggested_filename == "contacts.csv"
    expect(page.get_by_role("region", name="Result").last).not_to_contain_text("Signature")


# --- nothing there, or nothing to be had -------------------------------------------------------


def test_an_organisation_without_jobs_is_told_so(page: Page, dashboard: str) -> None:
    page.goto(f"{dashboard}#/?org=nobody")
    expect(page.get_by_text("nobody has no jobs yet.")).to_be_visible()
    page.goto(f"{dashboard}#/failed?org=nobody")
    expect(page.get_by_text("No failed jobs.")).to_be_visible()


def test_addresses_that_lead_nowhere_say_so(
    page: Page, dashboard: str, complaints: Complaints
) -> None:
    complaints.expected.append("404")
    page.goto(f"{dashboard}#/job/{'0' * 32}")
    expect(page.get_by_role("heading", name="Job not found")).to_be_visible()
    page.goto(f"{dashboard}#/elsewhere")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
