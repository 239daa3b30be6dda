"""Add URLs to the files in a job's result.

Each URL is created when a caller reads the job, works for a few minutes, and is never stored.
"""

import re
from typing import Any
from urllib.parse import quote

from job_runners import clock
from job_runners.aws import clients
from job_runners.store.job_request import SORT_KEY_PATTERN

_LIFETIME = 5 * clock.MINUTE


def add_urls(result: Any, organization_id: str) -> Any:
    """Add a `url` next to each `file` in a result, if `file` is the key of the organization's file.

    The result is changed in place and returned. A `url` that the job itself wrote next to a `file`
    is removed, because readers would think that the API had added it.
    """
    # The part after the organization has the same form in all keys. If the pattern didn't check it,
    # the organization "a" would match the files of an organization "a/b".
    key_of_own_file = re.compile(rf"results/{re.escape(organization_id)}/{SORT_KEY_PATTERN}/.+")
    pending = [result]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
            key = value.get("file")
            if isinstance(key, str):
                value.pop("url", None)
                value.pop("url_expires_at", None)
                if key_of_own_file.fullmatch(key):
                    value["url"] = _signed_url(key)
                    value["url_expires_at"] = clock.iso(clock.now() + _LIFETIME)
        elif isinstance(value, list):
            pending += value
    return result


def _signed_url(key: str) -> str:
    from job_runners.aws import bucket  # imported here because few results have files

    name = quote(key.rpartition("/")[2])
    url: str = clients.client("s3").generate_presigned_url(
        "get_object",
        Params={
            "Bucket": bucket.name(),
            "Key": key,
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{name}",
        },
        ExpiresIn=_LIFETIME // clock.SECOND,
    )
    return url
