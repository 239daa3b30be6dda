"""The endpoint that stores a file for an organization's jobs."""

from job_runners.api import body, requests
from job_runners.api.access import Caller, Event
from job_runners.api.query import organization_query
from job_runners.api.responses import Response, respond
from job_runners.aws import bucket
from job_runners.store.job_request import new_id


def put_upload(event: Event, caller: Caller, name: str) -> Response:
    """Store the request's body as a file, and return its key, which a payload can name. Each file
    gets a folder of its own, so that it replaces no other file. Send it as
    `application/octet-stream`, with at most 4 MB. `job-runners upload` stores larger files."""
    organization_id = organization_query(event, caller)
    requests.check_name(name)
    key = f"uploads/{organization_id}/{new_id()[:12]}/{name}"
    bucket.put_bytes(key, body.read_file(event))
    return respond(201, {"key": key})
