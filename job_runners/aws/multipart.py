"""Write a large object in parts, so that at most one part is in memory."""

from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from zlib import crc32

from job_runners.aws import bucket, clients
from job_runners.aws.errors import AWS_ERRORS

# S3 refuses parts under 5 MiB, except the last one, and more than 10,000 parts.
PART_SIZE = 8 * 1024 * 1024


class _Upload:
    """A multipart upload. The object exists only after `complete`."""

    def __init__(self, key: str, content_type: str) -> None:
        self._s3 = clients.client("s3")
        self._target = {"Bucket": bucket.name(), "Key": key}
        self._parts: list[dict[str, Any]] = []
        # S3 refuses parts with checksums unless the upload names the algorithm from the start.
        response = self._s3.create_multipart_upload(
            **self._target, ContentType=content_type, ChecksumAlgorithm="CRC32"
        )
        self._target["UploadId"] = response["UploadId"]

    def add(self, data: bytes) -> None:
        """Write the next part. Only the last one may be smaller than PART_SIZE."""
        checksum = b64encode(crc32(data).to_bytes(4)).decode()
        part = {"PartNumber": len(self._parts) + 1, "ChecksumCRC32": checksum}
        response = self._s3.upload_part(**self._target, **part, Body=data)
        self._parts.append({**part, "ETag": response["ETag"]})

    def complete(self) -> None:
        """Create the object from the parts. There must be at least one."""
        parts = {"Parts": self._parts}
        self._s3.complete_multipart_upload(**self._target, MultipartUpload=parts)

    def abort(self) -> None:
        """Delete the parts. If that fails, the bucket's lifecycle rule deletes them."""
        with suppress(*AWS_ERRORS):
            self._s3.abort_multipart_upload(**self._target)


def write(key: str, pieces: Iterable[bytes], content_type: str) -> None:
    """Write the pieces as one object. A small object takes one request.

    If the write fails, the parts written so far are deleted.
    """
    data = b""
    upload = None
    try:
        for piece in pieces:
            data += piece
            if len(data) >= PART_SIZE:
                upload = upload or _Upload(key, content_type)
                upload.add(data)
                data = b""
        if upload is None:
            bucket.put_bytes(key, data, content_type)
            return
        if data:
            upload.add(data)
        upload.complete()
    except BaseException:
        if upload is not None:
            upload.abort()
        raise
