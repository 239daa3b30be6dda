"""Files in a job's result, made readable: each gets a URL that works for a few minutes.

URLs are minted when somebody asks and never stored.
"""

import re
from typing import Any
from urllib.parse import quote

import clock
from aws import bucket, clients
from store.job_request import SORT_KEY

LIFETIME = 5 * clock.MINUTE


def add_urls(result: Any, organization_id: str) -> Any:
    """Return the result, changed in place: a `url` next to each `file` that is a key among its
    organization's results. No other `file` has one: what a job wrote there itself is left out,
    because readers take it for the API's."""
    # With a job's key after it, an organisation's name can't be the beginning of another's path.
    # Jobs saved by version 0.1.0 have their id alone there.
    job = rf"(?:{SORT_KEY}|[0-9a-f]{{32}})"
    ours = re.compile(rf"results/{re.escape(organization_id)}/{job}/.+")
    pending = [result]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
            key = value.get("file")
            if isinstance(key, str):
                for added in ("url", "url_expires_at"):
                    value.pop(added, None)
                if ours.fullmatch(key):
                    value["url"] = _url(key)
                    value["url_expires_at"] = clock.iso(clock.now() + LIFETIME)
        elif isinstance(value, list):
            pending += value
    return result


def _url(key: str) -> str:
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
