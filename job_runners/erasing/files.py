"""Delete every version of files in a bucket. If only the latest version were deleted, a file could
be restored for days."""

from job_runners.aws import bucket, clients


class NotDeleted(Exception):
    """S3 refused to delete a version of a file."""


def delete_versions(folder: str) -> int:
    """Delete all versions and S3's delete markers below a folder. Return their number.

    Raises NotDeleted.
    """
    s3, name, deleted = clients.client("s3"), bucket.name(), 0
    pages = s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=name, Prefix=f"{folder}/"):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:  # one call can delete a whole page
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            answer = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", []):
                reason = error.get("Message") or error["Code"]
                raise NotDeleted(f"Can't delete {error['Key']}: {reason}")
            deleted += len(found)
    return deleted


def abort_uploads(folder: str) -> int:
    """Abort unfinished multipart uploads below a folder, and return their number."""
    s3, name, aborted = clients.client("s3"), bucket.name(), 0
    pages = s3.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=name, Prefix=f"{folder}/"):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=name, Key=each["Key"], UploadId=each["UploadId"])
            aborted += 1
    return aborted
