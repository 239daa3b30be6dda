"""The site adds texts, and its worker counts their words."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from texts.models import Text
from texts.views import count_words

from job_runners.testing.job_runner import InlineRunner
from job_runners.testing.saved_jobs import SavedJobs, assert_succeeded

pytestmark = pytest.mark.django_db(transaction=True)  # otherwise nothing is committed


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True, headers={"host": "localhost"})


def form(browser: Client, body: str) -> dict[str, str]:
    """Return the fields of the form as the page shows it, filled in."""
    page = browser.get("/texts/").content.decode()
    return {**dict(re.findall(r'name="(\w+)" value="([^"]+)"', page)), "body": body}


def shown(browser: Client, answer: Any) -> str:
    """Return the page to which an answer redirects."""
    return str(browser.get(answer["Location"]).content.decode())


def test_a_text_is_counted(browser: Client, job_runner: InlineRunner) -> None:
    answer = browser.post("/texts/", form(browser, "Stripes and stripes"))
    page = shown(browser, answer)
    assert "READY" in page
    assert 'http-equiv="refresh"' in page
    job_runner.drain()
    page = shown(browser, answer)
    assert "<li>stripes: 2</li>" in page
    assert 'http-equiv="refresh"' not in page


def test_pressing_the_button_twice_adds_one_text(browser: Client, saved_jobs: SavedJobs) -> None:
    fields = form(browser, "stripes")
    assert fields["id"] != form(browser, "stripes")["id"]
    answers = [browser.post("/texts/", fields) for _ in range(2)]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert Text.objects.get().result_id == saved_jobs.only("django_task").id


def test_a_wrong_form_is_shown_again(browser: Client, job_runner: InlineRunner) -> None:
    assert "This field is required" in browser.post("/texts/", form(browser, "")).content.decode()
    assert browser.post("/texts/", {"body": "from another site"}).status_code == 403
    assert not Text.objects.exists()


def test_a_task_that_fails_is_shown(browser: Client, job_runner: InlineRunner) -> None:
    answer = browser.post("/texts/", form(browser, "stripes"))
    text = Text.objects.get()
    Text.objects.all().delete()  # so that the task doesn't find it
    job_runner.drain()
    text.save(force_insert=True)
    assert count_words.get_result(text.result_id).attempts == 3
    assert "could not be counted" in shown(browser, answer)


def test_old_texts_are_deleted(job_runner: InlineRunner) -> None:
    old, new = Text.objects.create(body="old"), Text.objects.create(body="new")
    Text.objects.filter(pk=old.pk).update(added_at=timezone.now() - timedelta(days=31))
    assert assert_succeeded(job_runner.run("delete_old_texts")) == 1
    assert list(Text.objects.all()) == [new]
