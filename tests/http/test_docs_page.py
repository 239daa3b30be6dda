"""GET /docs: the OpenAPI document as a page that runs nothing and asks nobody else for anything."""

import re

import pytest

import sample_work
from api_events import Answer, call
from job_runners.api import problems
from job_runners.api.routes.table import ROUTES
from job_runners.testing.aws import forget
from job_runners.work.definitions import Job
from job_runners.work.running_job import RunningJob

pytestmark = pytest.mark.usefixtures("aws")


def docs() -> Answer:
    answer = call("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer


def test_the_page_shows_every_request_and_every_type_of_problem() -> None:
    page = docs().text
    documented = {
        (path, method)
        for path, methods in ROUTES.items()
        for method, route in methods.items()
        if route.operation
    }
    assert len(documented) > 15
    for path, method in documented:
        written = path.translate(str.maketrans("<>", "{}"))
        assert f"<h3>{method} <code>{written}</code></h3>" in page
    for kind in problems.kinds().values():
        assert f"{kind.status} `{kind.slug}`" in page


def test_the_page_runs_nothing_and_loads_only_its_own_style() -> None:
    answer = docs()
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", "style-src 'self'"]
    assert not [each for each in policy if "unsafe" in each or "script" in each]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    assert not re.findall(r"\son\w+=", answer.text)
    loaded = re.findall(r'(?:src|href)="([^"#][^"]*)"', answer.text)
    assert [each.rpartition("/")[2] for each in loaded] == ["docs.css", "openapi.json"]
    assert not [each for each in loaded if each.startswith("/") or ":" in each]
    style = call("GET", f"/{loaded[0]}")
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_every_link_within_the_page_leads_somewhere() -> None:
    page = docs().text
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert len(targets) > 10
    assert targets <= set(re.findall(r'id="([^"]+)"', page))


def test_what_a_job_says_of_itself_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(job: RunningJob, payload: sample_work.Sample) -> None:
        pass

    monkeypatch.setitem(sample_work.JOBS, '<img src="x" onerror="alert(1)">', Job(sample))
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work")
    forget()
    page = docs().text
    assert "<img" not in page
    assert "&lt;img" in page
