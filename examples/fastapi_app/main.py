"""A FastAPI application on Lambda that starts jobs to export a campaign's contacts."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from mangum import Mangum
from pydantic import BaseModel

from job_runners import ApiBusy, Client, Conflict, InvalidRequest, Job, NoAnswer, NotFound

EXPORT = "export_contacts"

# All threads of the process share it. It gives up early, because a person waits for the response.
client = Client(timeout=5, max_attempts=1)  # JOB_RUNNERS_URL or JOB_RUNNERS_STACK
app = FastAPI(title="Exports")
handler = Mangum(app, lifespan="off")


class NewExport(BaseModel):
    """The body of a request for an export."""

    campaign: str


class Export(BaseModel):
    """An export, with its progress in percent. `url` is the file's URL after it has succeeded."""

    id: str
    status: str
    progress: float
    url: str | None = None


def organization() -> str:
    """Return the organization of the user who calls. Read it from your session or token."""
    return "default"


Organization = Annotated[str, Depends(organization)]
Key = Annotated[str | None, Header(alias="Idempotency-Key")]


@app.post("/exports", status_code=202)
def start_export(new: NewExport, own: Organization, key: Key = None) -> Export:
    """Dispatch the job. A repeated Idempotency-Key doesn't start another export."""
    job = client.dispatch(
        EXPORT, {"campaign": new.campaign}, organization_id=own, idempotency_key=key
    )
    return as_export(job)


@app.get("/exports/{export_id}")
def show_export(export_id: Annotated[str, Path(pattern=r"^\w+$")], own: Organization) -> Export:
    """Return an export's status and progress."""
    job = client.get(export_id)  # with IAM, a client gets the jobs of all organizations
    if (job.job_type, job.organization_id) != (EXPORT, own):
        raise HTTPException(404, "There is no such export.")
    return as_export(job)


def as_export(job: Job) -> Export:
    """Return the parts of a job that a caller may see."""
    url = job.result["url"] if job.succeeded and job.result else None
    return Export(id=job.id, status=job.status, progress=job.progress, url=url)


# All other errors are bugs or wrong settings. They become a 500 with a traceback in the log.
REFUSALS: dict[type[Exception], tuple[int, str]] = {
    InvalidRequest: (422, "The request is invalid."),
    NotFound: (404, "There is no such export."),
    Conflict: (409, "This Idempotency-Key belongs to another export."),
    ApiBusy: (503, "Try again, with the same Idempotency-Key."),
    NoAnswer: (503, "Try again, with the same Idempotency-Key."),
}


def refuse(_request: Request, error: Exception) -> JSONResponse:
    """Convert an error of the client into a response."""
    status, detail = next(REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
    return JSONResponse({"detail": detail}, status)


for kind in REFUSALS:
    app.add_exception_handler(kind, refuse)
