"""Upload files as a caller does, and read the files that a job has written."""

from job_runners.aws import bucket


def upload(name: str, data: bytes, *, organization_id: str = "default") -> str:
    """Upload a file for an organization. Return its key, which you can pass in a job's payload."""
    key = f"uploads/{organization_id}/{name}"
    bucket.put_bytes(key, data)
    return key


def read_file(key: str) -> bytes:
    """Return a file's content, such as that of `result["file"]`. Raises MissingObject."""
    return bucket.get_bytes(key)
