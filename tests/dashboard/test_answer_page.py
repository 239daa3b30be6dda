"""The page of a link, in a browser: a person answers a job with one click."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api_server import ApiServer
from dashboard_pages import looks
from job_runners import Client
from job_runners.settings import forget
from sample_work import script


def test_a_person_answers_with_a_click(
    page: Page, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", api_server.url)
    monkeypatch.setenv("TEAM_NAME", 'Acme "Support"')
    forget()
    urls: list[str] = []

    def work(job: Any, payload: object) -> Any:
        choices = ("approve", "reject")
        text = "Refund <b>order 7</b>?\nThe parcel never arrived."
        urls.append(job.signal_url("approval", text=text, choices=choices, timeout=3600))
        return job.wait_for("approval", timeout=3600)

    script.job = work
    client = Client(url=api_server.url, organization_id="acme")
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop runs in this thread

        def job(status: str) -> Any:
            found = pool.submit(client.get, job_id).result()
            assert found.status == status
            return found

        job_id = pool.submit(client.dispatch, "sample_once", {}).result().id
        job("waiting")
        page.goto(urls[0])
        title = page.get_by_role("heading", name="Refund <b>order 7</b>?", exact=True)
        expect(title).to_be_visible()
        expect(page).to_have_title('Refund <b>order 7</b>? \u00b7 Acme "Support"')
        expect(page.locator(".team")).to_have_text('Acme "Support"')
        expect(page.get_by_text("The parcel never arrived.")).to_be_visible()
        assert looks(page) == []
        expect(page.get_by_role("button")).to_have_text(["approve", "reject"])
        job("waiting")
        page.get_by_role("button", name="approve").click()
        expect(page.get_by_text("The answer is: approve")).to_be_visible()
        assert job("succeeded").result == "approve"
        page.goto(urls[0])
        expect(page.get_by_text("The answer is: approve")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
