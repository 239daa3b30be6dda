"""Open multipart uploads of moto with their parts, which S3 keeps and does not give back.

It imports none of our code, so that a process of an old version can use it.
"""

import base64
from typing import Any
from unittest.mock import patch

from moto.backends import get_backend
from moto.s3 import models


def read(bucket: str) -> dict[str, Any]:
    """Return each open upload of a bucket by its id: its key, and its parts as base64."""
    return {
        upload.id: {
            "key": upload.key_name,
            "parts": [
                base64.b64encode(upload.parts[number].value).decode() for number in upload.partlist
            ],
        }
        for upload in _uploads(bucket).values()
    }


def restore(s3: Any, bucket: str, uploads: dict[str, Any]) -> None:
    """Open the uploads that `read` returned, under the ids that they had, by a client of boto3."""
    for upload_id, upload in uploads.items():
        where = {"Bucket": bucket, "Key": upload["key"]}
        made = s3.create_multipart_upload(**where, ChecksumAlgorithm="CRC32")["UploadId"]
        for number, part in enumerate(upload["parts"], start=1):
            body = base64.b64decode(part)
            s3.upload_part(**where, UploadId=made, PartNumber=number, Body=body)
        found = _uploads(bucket).pop(made)
        found.id = upload_id
        _uploads(bucket)[upload_id] = found


def small_parts() -> Any:
    """Let parts be smaller than S3's 5 MB, as a context manager."""
    return patch.object(models, "S3_UPLOAD_PART_MIN_SIZE", 1)


def _uploads(bucket: str) -> Any:
    return get_backend("s3")["123456789012"]["aws"].buckets[bucket].multiparts
