"""Delete all versions of files in the stack's bucket.

The bucket keeps old versions for days. If only the latest version were deleted, a file could still
be restored.
"""

from job_runners.aws import bucket, clients


class NotDeleted(Exception):
    """S3 refused to delete a version of a file."""


def delete_versions(folder: str) -> int:
    """Delete all versions and delete markers in a folder. Return how many there were.

    Raises NotDeleted.
    """
    s3 = clients.client("s3")
    bucket_name = bucket.name()
    deleted_count = 0
    pages = s3.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=bucket_name, Prefix=f"{folder}/"):
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not versions:
            continue
        objects = [
            {"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions
        ]
        # One call can delete a whole page.
        delete = {"Objects": objects, "Quiet": True}
        response = s3.delete_objects(Bucket=bucket_name, Delete=delete)
        for error in response.get("Errors", []):
            reason = error.get("Message") or error["Code"]
            raise NotDeleted(f"Can't delete {error['Key']}: {reason}")
        deleted_count += len(versions)
    return deleted_count


def abort_uploads(folder: str) -> int:
    """Abort unfinished multipart uploads to a folder, and return how many there were."""
    s3 = clients.client("s3")
    bucket_name = bucket.name()
    aborted_count = 0
    pages = s3.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=bucket_name, Prefix=f"{folder}/"):
        for upload in page.get("Uploads", []):
            key, upload_id = upload["Key"], upload["UploadId"]
            s3.abort_multipart_upload(Bucket=bucket_name, Key=key, UploadId=upload_id)
            aborted_count += 1
    return aborted_count
