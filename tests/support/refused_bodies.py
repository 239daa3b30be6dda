"""What a refused body leaves behind, which is nothing but a problem for its sender."""

from api_events import Answer, call
from job_runners.aws import clients
from job_runners.testing import moto_direct
from sample_work import script

PATHS = ("/jobs", "/tasks")


def kept() -> tuple[int, int, int]:
    """Rows and objects saved, and work that ran."""
    rows = len(moto_direct.rows("jobs"))
    objects = clients.client("s3").list_objects_v2(Bucket="bucket")["KeyCount"]
    return rows, objects, len(script.jobs_run) + len(script.tasks_run)


def refused(answer: Answer, status: int, detail: str) -> None:
    """Check that the answer is a problem that says `detail`, and that nothing was kept."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status
    assert problem["type"].startswith("urn:job-runners:")
    assert problem["title"]
    assert detail in problem["detail"], problem["detail"]
    assert "Traceback" not in answer.text
    assert kept() == (0, 0, 0)


def refused_everywhere(raw: str | bytes | None, status: int, detail: str) -> list[Answer]:
    """Sent to both routes that take a body; text also as base64, as API Gateway sends what it
    doesn't take for text."""
    forms = [raw, raw.encode()] if isinstance(raw, str) else [raw]
    answers = [call("POST", path, raw=form) for path in PATHS for form in forms]
    for answer in answers:
        refused(answer, status, detail)
    return answers
