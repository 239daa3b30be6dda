"""Delete every version of files in a bucket. If only the latest version were deleted, a file could
be restored for days."""

from typing import Any

from job_runners.cli.problem import Problem


def delete_versions(s3: Any, bucket: str, folder: str) -> int:
    """Delete all versions and S3's delete markers below a folder. Return their number.

    The folder must end in a slash.
    """
    deleted = 0
    pages = s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket, Prefix=folder):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:  # one call can delete a whole page
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", []):
                raise Problem(
                    f"Can't delete {error['Key']}: {error.get('Message') or error['Code']}",
                    hint="Fix this and run the command again, and it will continue.",
                )
            deleted += len(found)
    return deleted


def abort_uploads(s3: Any, bucket: str, folder: str) -> int:
    """Abort unfinished multipart uploads below a folder, and return their number."""
    aborted = 0
    pages = s3.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=bucket, Prefix=folder):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
            aborted += 1
    return aborted
