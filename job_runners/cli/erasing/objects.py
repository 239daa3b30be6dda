"""Files of the bucket, every version of them: one that is only deleted can be restored for days."""

from typing import Any

from job_runners.cli.problem import Problem


def delete_versions(s3: Any, bucket: str, folder: str) -> int:
    """Delete every version of every file below a folder, which ends in a slash, and the markers
    that hide them. Return how many that were."""
    deleted = 0
    pages = s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket, Prefix=folder):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:  # a page holds no more than one call can delete
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", []):
                raise Problem(
                    f"{error['Key']} can't be deleted: {error.get('Message') or error['Code']}",
                    hint="Run it again once that is fixed: it goes on where it was cut off.",
                )
            deleted += len(found)
    return deleted


def abort_uploads(s3: Any, bucket: str, folder: str) -> int:
    """Abort the uploads in parts that were begun below a folder; return how many that were."""
    aborted = 0
    pages = s3.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=bucket, Prefix=folder):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
            aborted += 1
    return aborted
