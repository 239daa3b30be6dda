"""Dispatch a job from a job of another stack. Functions don't contain the client, so this signs."""

import json
from typing import Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

from job_runners.work import RunningJob, app_setting


def dispatch_elsewhere(job: RunningJob, job_type: str, payload: dict[str, Any]) -> str:
    """Dispatch one job to the other stack, even if this job runs again, and return its ID."""
    url = f"{app_setting('OTHER_API')}/jobs"  # the other stack's output ApiUrl
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"{job.id}-{job_type}"}
    fields = {"job_type": job_type, "payload": payload, "organization_id": job.organization_id}
    request = AWSRequest("POST", url, data=json.dumps(fields), headers=headers)
    credentials: Any = get_session().get_credentials()
    SigV4Auth(credentials, "execute-api", app_setting("OTHER_REGION")).add_auth(request)
    signed = dict(request.headers)
    answer = urllib3.request("POST", url, body=request.data, headers=signed, timeout=30)
    if answer.status != 202:
        raise ConnectionError(f"The other stack answered {answer.status}: {answer.data[:200]!r}")
    other: str = answer.json()["id"]
    return other
