"""Pages that start a job to export a campaign's contacts, and show its progress."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from job_runners import ApiBusy, Client, InvalidRequest, JobNotFound, NoAnswer

from .forms import ExportForm

EXPORT = "export_contacts"

client = Client(**settings.JOB_RUNNERS)  # all threads of the process share it


def start_export(request: HttpRequest) -> HttpResponse:
    """Show the form. When it is submitted, dispatch the job."""
    form = ExportForm(request.POST or None)
    if form.is_valid():
        campaign = form.cleaned_data["campaign"]
        key = f"{campaign}/{form.cleaned_data['key']}"
        try:
            own = organization(request)
            job = client.dispatch(
                EXPORT, {"campaign": campaign}, organization_id=own, idempotency_key=key
            )
        except InvalidRequest as error:
            form.add_error(None, error.problem)
        except (NoAnswer, ApiBusy):  # the form keeps its key, so another try is the same export
            form.add_error(None, "This takes longer than usual. Please press the button again.")
        else:
            return redirect("show_export", job.id)
    return render(request, "exports/start.html", {"form": form})


def organization(_request: HttpRequest) -> str:
    """Return the organization of the user who calls. Read it from your session."""
    return "default"


def show_export(request: HttpRequest, export_id: str) -> HttpResponse:
    """Show an export's progress, and then its file."""
    try:
        job = client.get(export_id)
    except JobNotFound:
        raise Http404 from None
    except (NoAnswer, ApiBusy):
        return HttpResponse("One moment, please.", status=503, headers={"Refresh": "5"})
    # With IAM, a client gets the jobs of all organizations.
    if (job.job_type, job.organization_id) != (EXPORT, organization(request)):
        raise Http404
    return render(request, "exports/show.html", {"job": job})
