"""Publish an article and delete a document in a site with Wagtail, in the process of the site.

Calls the stack at JOB_RUNNERS_URL. With `early` as its argument, the worker runs each job before
the transaction commits. The last line that it prints is JSON: what was found, and how the jobs
ended.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

import django

django.setup()

from django.core.files.base import ContentFile
from django.db import transaction
from press.models import Article
from wagtail.documents.models import Document
from wagtail.models import Page, ReferenceIndex

from job_runners import Client, Job


def tell(order: str) -> None:
    """Tell the stack to work."""
    urllib.request.urlopen(f"{os.environ['JOB_RUNNERS_URL']}/__/{order}").close()


def publish(early: bool) -> None:
    """Publish an article with a link in one transaction, as the editor of Wagtail does."""
    with transaction.atomic():
        body = '<p>stripes <a linktype="page" id="1">x</a></p>'
        article = Article(title="Zebras", slug="zebras", body=body)
        Page.objects.get(depth=1).add_child(instance=article)
        article.save_revision().publish()
        if early:
            tell("due")


def delete_document() -> Path:
    """Upload and delete a document. Return the path of its file, which a task deletes."""
    document = Document.objects.create(title="Stripes", file=ContentFile(b"x", name="stripes.txt"))
    path = Path(document.file.path)
    tell("drain")  # otherwise the task that adds it to the search wouldn't find it
    document.delete()
    return path


def found() -> dict[str, Any]:
    """Return what a search finds, and how many references are known."""
    articles = [each.title for each in Article.objects.search("stripes")]
    return {"articles": articles, "references": ReferenceIndex.objects.count()}


def ending(client: Client, job: Job) -> dict[str, Any]:
    """Return how a job ended."""
    ended = client.get(job.id)
    return {
        "task": (ended.payload or {})["task"],
        "status": ended.status,
        "errors": [each.kind for each in (*ended.earlier_errors, *filter(None, [ended.error]))],
    }


def main() -> None:
    """Do everything, and report."""
    early = sys.argv[1:] == ["early"]
    client = Client(timeout=60)
    publish(early)
    before = found()
    path = delete_document()
    was_there = path.exists()
    tell("drain")
    report = {
        "before": before,
        "after": found(),
        "file": [was_there, path.exists()],
        "jobs": [ending(client, each) for each in client.list()],
    }
    print(json.dumps(report))  # noqa: T201 - for the parent process


if __name__ == "__main__":
    main()
