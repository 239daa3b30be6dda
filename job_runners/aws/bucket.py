"""Read, write, list and delete objects in the stack's bucket."""

from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from job_runners.aws import clients
from job_runners.errors import MissingObject, ObjectChanged
from job_runners.settings import required, settings

_MISSING_CODES = frozenset({"NoSuchKey", "404"})
_CHANGED_CODES = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})


class Version(NamedTuple):
    """The size and the ETag of an object at one time."""

    size: int  # bytes
    etag: str  # changes with the content


def name() -> str:
    """Return the bucket's name. Raises MissingSetting if it isn't set."""
    return required("BUCKET_NAME", "keeping files and large payloads")


def is_configured() -> bool:
    """Return whether the stack has a bucket. Only large payloads and files need one."""
    return settings().has_bucket


def put_bytes(key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
    """Write a whole object. Replace it if it exists."""
    clients.client("s3").put_object(Bucket=name(), Key=key, Body=data, ContentType=content_type)


def get_bytes(key: str, **options: str) -> bytes:
    """Return the content of an object. Raises MissingObject.

    `options` are passed to S3's GetObject.
    """
    try:
        response = clients.client("s3").get_object(Bucket=name(), Key=key, **options)
    except ClientError as error:
        raise _translate(error, key) from error
    data: bytes = response["Body"].read()
    return data


def version(key: str) -> Version:
    """Return the current size and ETag of an object. Raises MissingObject."""
    try:
        head = clients.client("s3").head_object(Bucket=name(), Key=key)
    except ClientError as error:
        raise _translate(error, key) from error
    return Version(size=head["ContentLength"], etag=head["ETag"])


def get_range(key: str, start: int, end: int, etag: str) -> bytes:
    """Return the bytes of an object from `start` up to, but not including, `end`.

    `end` must be greater than `start`. Raises ObjectChanged if the object no longer has this
    ETag, and MissingObject if it is gone.
    """
    return get_bytes(key, Range=f"bytes={start}-{end - 1}", IfMatch=etag)


def delete(key: str) -> None:
    """Delete one object, if it exists."""
    clients.client("s3").delete_object(Bucket=name(), Key=key)


def delete_all(folder: str) -> None:
    """Delete every object in a folder."""
    paginator = clients.client("s3").get_paginator("list_objects_v2")
    for page in paginator.paginate(Bucket=name(), Prefix=folder.rstrip("/") + "/"):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:  # one call can delete all keys of a page
            clients.client("s3").delete_objects(
                Bucket=name(), Delete={"Objects": keys, "Quiet": True}
            )


def _translate(error: ClientError, key: str) -> Exception:
    """Return S3's error as MissingObject or ObjectChanged if it means that, or else unchanged."""
    response: Any = error.response
    code = response["Error"]["Code"]
    if code in _MISSING_CODES:
        return MissingObject(key)
    if code in _CHANGED_CODES:
        return ObjectChanged(key)
    return error
