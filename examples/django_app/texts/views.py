"""Pages that add a text, and show how its task goes and what it found."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.tasks import TaskResultStatus
from django.tasks.exceptions import TaskResultDoesNotExist

from job_runners import ApiBusy, NoAnswer
from job_runners.django import job_options

from .forms import TextForm
from .models import Text
from .tasks import count_words


def add_text(request: HttpRequest) -> HttpResponse:
    """Show the form. When it is submitted, save the text and enqueue its task."""
    form = TextForm(request.POST or None)
    if not form.is_valid():
        return render(request, "texts/add.html", {"form": form})
    text_id = form.cleaned_data["id"]
    # The key makes a second enqueue return the first one's job.
    with transaction.atomic(), job_options(idempotency_key=f"count-{text_id}"):
        result = count_words.enqueue(str(text_id))  # sent after the commit, because of ON_COMMIT
        values = {"body": form.cleaned_data["body"], "result_id": result.id}
        Text.objects.get_or_create(pk=text_id, defaults=values)
    return redirect("show_text", text_id)


def show_text(request: HttpRequest, text_id: str) -> HttpResponse:
    """Show a text's words, or how the task that counts them goes."""
    text = get_object_or_404(Text, pk=text_id)
    status = None
    if text.words is None:
        try:
            status = count_words.get_result(text.result_id).status
        except TaskResultDoesNotExist:  # the dispatch after the commit has failed, and was logged
            status = TaskResultStatus.FAILED
        except (NoAnswer, ApiBusy):  # the API can't be reached, so the page asks again
            status = TaskResultStatus.READY
    return render(request, "texts/show.html", {"text": text, "status": status})
