"""Upload files to the stack's bucket, for the jobs of an organization."""

from typing import BinaryIO

from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target


def upload(target: Target, content: bytes | BinaryIO, name: str, *, why: str) -> str:
    """Store a file in the organization's folder, and return its key. Replace a file of that name.

    Raises Problem for an invalid name, or, with the text `why`, if the options don't determine the
    bucket and the organization.
    """
    if target.uses_api_url or target.organization_id is None:
        option = "--stack NAME" if target.uses_api_url else "--organization NAME"
        raise Problem(why, hint=f"Pass {option} too, so that the command knows where.")
    from job_runners.client.uploads import key_for

    try:
        key = key_for(b"", name, target.organization_id)
    except ValueError as error:
        raise Problem(str(error), code=Exit.USAGE) from None
    target.client("s3").put_object(Bucket=target.stack.bucket_name, Key=key, Body=content)
    return key
