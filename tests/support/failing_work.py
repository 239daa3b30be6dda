"""A job that fails in the function that its payload names."""

import json

from pydantic import BaseModel

from job_runners.work import Job, RunningJob


class Failing(BaseModel):
    """Where the job fails. Nowhere: it succeeds."""

    where: str = "here"


class Importer:
    """Code of the job's own package."""

    def read(self, text: str) -> object:
        """Fail in the standard library, whose frames belong to no work."""
        return json.loads(text)


def fail_here() -> None:
    """Fail in this function."""
    raise ValueError("no luck here")


def failing(job: RunningJob, payload: Failing) -> None:
    """Fail where the payload says."""
    match payload.where:
        case "here":
            fail_here()
        case "read":
            Importer().read("{")
        case "library":
            Failing.model_validate(7)
        case "kind":
            raise LookupError(payload.where)


JOBS = {"failing": Job(failing), "failing_too": Job(failing)}
