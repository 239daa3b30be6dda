"""Add URLs to the files in a job's result.

Each URL is created when a caller reads the job, works for a few minutes, and is never stored.
"""

import re
from typing import Any
from urllib.parse import quote

from job_runners import clock
from job_runners.aws import clients
from job_runners.store.job_request import SORT_KEY_PATTERN

LIFETIME = 5 * clock.MINUTE


def add_urls(result: Any, organization_id: str) -> Any:
    """Add a `url` next to each `file` that holds the key of one of the organization's result files.

    The result is changed in place and returned. A `url` that the job itself wrote next to a `file`
    is removed, because readers would think that the API had added it.
    """
    # Each path has a job's folder after the organization. Unless the pattern requires this folder,
    # an organization's name could match the start of another organization's path.
    own_file = re.compile(rf"results/{re.escape(organization_id)}/{SORT_KEY_PATTERN}/.+")
    pending = [result]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
            key = value.get("file")
            if isinstance(key, str):
                value.pop("url", None)
                value.pop("url_expires_at", None)
                if own_file.fullmatch(key):
                    value["url"] = _url(key)
                    value["url_expires_at"] = clock.iso(clock.now() + LIFETIME)
        elif isinstance(value, list):
            pending += value
    return result


def _url(key: str) -> str:
    from job_runners.aws import bucket  # imported here because few results have files

    name = quote(key.rpartition("/")[2])
    url: str = clients.client("s3").generate_presigned_url(
        "get_object",
        Params={
            "Bucket": bucket.name(),
            "Key": key,
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{name}",
        },
        ExpiresIn=LIFETIME // clock.SECOND,
    )
    return url
