"""A FastAPI application on Lambda: it has a campaign's contacts exported by a job."""

from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from mangum import Mangum
from pydantic import BaseModel

from job_runners import ApiBusy, Client, Conflict, InvalidRequest, Job, JobNotFound, NoAnswer

EXPORT = "export_contacts"

# One for the process, shared by its threads. A person waits for the answer: it gives up soon.
client = Client(timeout=10, max_attempts=2)  # JOB_RUNNERS_URL or JOB_RUNNERS_STACK
app = FastAPI(title="Exports")
handler = Mangum(app, lifespan="off")


class NewExport(BaseModel):
    """What a caller asks for."""

    campaign_id: str


class Export(BaseModel):
    """How an export is going, in percent. `url` is where the file is, once it has succeeded."""

    id: str
    status: str
    progress: float
    url: str | None = None


@app.post("/exports", status_code=202)
def start_export(new: NewExport, idempotency_key: Annotated[str | None, Header()] = None) -> Export:
    """Dispatch the job. The same request under the same Idempotency-Key is one export."""
    job = client.dispatch(EXPORT, campaign_id=new.campaign_id, idempotency_key=idempotency_key)
    return as_export(job)


@app.get("/exports/{export_id}")
def show_export(export_id: Annotated[str, Path(pattern=r"^\w+$")]) -> Export:
    """Say how an export is going."""
    job = client.get(export_id)
    if job.job_type != EXPORT:  # not one that this application has started
        raise HTTPException(404, "There is no such export.")
    return as_export(job)


def as_export(job: Job) -> Export:
    """Return what a caller may know of a job."""
    url = job.result["url"] if job.succeeded and job.result else None
    return Export(id=job.id, status=job.status, progress=job.progress, url=url)


# All other errors are bugs or settings: a 500, and a traceback in the log.
REFUSALS: dict[type[Exception], tuple[int, str]] = {
    InvalidRequest: (422, "There can be no such export."),
    JobNotFound: (404, "There is no such export."),
    Conflict: (409, "This Idempotency-Key was for another export."),
    ApiBusy: (503, "Try again, with the same Idempotency-Key."),
    NoAnswer: (503, "Try again, with the same Idempotency-Key."),
}


def refuse(_request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the client's."""
    status, detail = next(REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
    return JSONResponse({"detail": detail}, status)


for kind in REFUSALS:
    app.add_exception_handler(kind, refuse)
