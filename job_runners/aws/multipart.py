"""Write a large object in parts, so that at most one part is in memory."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from zlib import crc32

from botocore.exceptions import ClientError

from job_runners.aws import bucket, clients
from job_runners.errors import UploadGone

# S3 refuses parts under 5 MiB, except the last one, and more than 10,000 parts.
PART_SIZE = 8 * 1024 * 1024


class Upload:
    """An upload in parts. The object exists only after `complete`.

    Another invocation can continue the upload with `id` and `parts`, which can be stored as JSON.
    Each of the `parts` is a text with the part's ETag and checksum, separated by a space. So if
    another invocation has overwritten a part, `complete` fails instead of putting the wrong part
    into the object.
    """

    def __init__(self, key: str, upload_id: str, parts: list[str]) -> None:
        self.key = key
        self.id = upload_id
        self.parts = list(parts)

    @classmethod
    def start(cls, key: str, content_type: str) -> "Upload":
        """Start the upload of a new object, and return the upload."""
        # S3 refuses parts with checksums unless the upload names the algorithm from the start.
        response = clients.client("s3").create_multipart_upload(
            Bucket=bucket.name(), Key=key, ContentType=content_type, ChecksumAlgorithm="CRC32"
        )
        return cls(key, response["UploadId"], [])

    def add(self, data: bytes) -> None:
        """Write the next part, which must have at least PART_SIZE bytes unless it is the last.

        Raises UploadGone.
        """
        checksum = b64encode(crc32(data).to_bytes(4)).decode()
        number = len(self.parts) + 1
        response = self._call("upload_part", PartNumber=number, Body=data, ChecksumCRC32=checksum)
        etag = response["ETag"].strip('"')
        self.parts.append(f"{etag} {checksum}")

    def complete(self) -> None:
        """Make the object from the parts so far. There must be at least one. Raises UploadGone."""
        parts = []
        for number, part in enumerate(self.parts, start=1):
            etag, checksum = part.split(" ")
            parts.append({"PartNumber": number, "ETag": f'"{etag}"', "ChecksumCRC32": checksum})
        self._call("complete_multipart_upload", MultipartUpload={"Parts": parts})

    def abort(self) -> None:
        """Abandon the upload and delete its parts, if they still exist."""
        try:
            self._call("abort_multipart_upload")
        except UploadGone:
            return

    def _call(self, operation: str, **parameters: Any) -> Any:
        call = getattr(clients.client("s3"), operation)
        try:
            return call(Bucket=bucket.name(), Key=self.key, UploadId=self.id, **parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchUpload":
                raise UploadGone(self.key) from error
            raise


def write(key: str, pieces: Iterable[bytes], content_type: str) -> None:
    """Write one object from many pieces, in one request if it is small.

    If the write fails, its parts are deleted.
    """
    data = b""
    upload = None
    try:
        for piece in pieces:
            data += piece
            if len(data) >= PART_SIZE:
                upload = upload or Upload.start(key, content_type)
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
