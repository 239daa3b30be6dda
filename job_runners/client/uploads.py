"""Upload files to the stack's bucket with a signed PUT.

The HTTP API accepts only files of up to 4 MB, because API Gateway limits the size of requests.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import quote

from job_runners.client.addresses import endpoint
from job_runners.client.connections import Connections, Response
from job_runners.client.credentials import Credentials
from job_runners.client.errors import UploadRefused
from job_runners.client.repeating import send_repeatedly
from job_runners.client.signing import sign
from job_runners.client.stack_outputs import parse_error

_MAX_TRIES = 4
_MAX_SIZE = 5 * 1024**3  # bytes; S3's limit for one PUT
# Matches control characters, backslashes, and segments that are empty, `.` or `..`.
_INVALID_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|(^|/)\.{0,2}(/|$)")
_CHUNK_BYTES = 1024 * 1024


def put(
    source: "str | os.PathLike[str] | bytes",
    key: str,
    *,
    bucket: str,
    region: str,
    credentials: Callable[[], Credentials],
    timeout: float,
) -> None:
    """Upload a file or bytes under a key, and replace an existing object.

    An upload fails after `timeout` seconds without progress. Raises UploadRefused, NoAnswer, and
    OSError for a file that can't be read.
    """

    def open_file() -> BinaryIO:
        if isinstance(source, bytes):
            return io.BytesIO(source)
        return open(source, "rb")  # noqa: PTH123 - pathlib is slow to import

    digest, size = _digest_and_size(open_file)
    if size > _MAX_SIZE:
        raise UploadRefused(
            f"The file has {size:,} bytes. The limit of one upload is {_MAX_SIZE:,}.",
            "Upload it in parts with aws s3 cp.",
            status=0,
            code="EntityTooLarge",
        )
    url = _object_url(bucket, region, key)
    unsigned = {"Content-Length": str(size), "X-Amz-Content-SHA256": digest}

    def send() -> Response:
        headers = sign("PUT", url, unsigned, digest, credentials(), region, "s3")
        return connections.send("PUT", url, open_file, headers)

    with Connections(url, timeout) as connections:
        response = send_repeatedly(send, lambda response: response.status >= 500, _MAX_TRIES)
    if response.status != 200:
        raise _refusal(bucket, key, response)


def _object_url(bucket: str, region: str, key: str) -> str:
    endpoint_url, is_local = endpoint("s3", region)
    path = quote(key, safe="/~")
    if is_local or "." in bucket:  # S3's certificate doesn't cover names with a dot
        return f"{endpoint_url}/{bucket}/{path}"
    return f"https://{bucket}.{endpoint_url.removeprefix('https://')}/{path}"


def key_for(source: "str | os.PathLike[str] | bytes", name: str | None, organization: str) -> str:
    """Return the key of an upload. It is in the organization's folder, so that the organization's
    jobs can read it.

    Raises ValueError if there is no name, or if the name isn't a path below that folder.
    """
    if name is None:
        if isinstance(source, bytes):
            raise ValueError("The bytes have no name. Pass name=.")
        name = os.path.basename(os.fspath(source))  # noqa: PTH119 - pathlib is slow to import
    if _INVALID_NAME.search(name):
        raise ValueError(f"{name!r} isn't a valid name. Pass one such as may/list.csv.")
    key = f"uploads/{organization}/{name}"
    if len(key.encode()) > 1024:
        raise ValueError("The name is too long. The key may have at most 1024 bytes.")
    return key


def _digest_and_size(open_file: Callable[[], BinaryIO]) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with open_file() as file:
        while part := file.read(_CHUNK_BYTES):
            digest.update(part)
            size += len(part)
    return digest.hexdigest(), size


def _refusal(bucket: str, key: str, response: Response) -> UploadRefused:
    status = response.status
    code, message = parse_error(response)
    hints = {
        301: "The bucket is in another region. Pass region=.",
        403: f"The credentials need s3:PutObject on arn:aws:s3:::{bucket}/uploads/*.",
        404: "Check the bucket's name.",
    }
    hint = "Try again in a moment." if status >= 500 else hints.get(status, "")
    return UploadRefused(
        f"S3 answered {status} for {key}: {message or code or 'no reason given'}.",
        hint,
        status=status,
        code=code,
    )
