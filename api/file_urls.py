"""Files in a job's result, made readable: each gets a URL that works for a few minutes.

URLs are minted when somebody asks and never stored.
"""

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from store import aws, bucket, clock

LIFETIME = 5 * clock.MINUTE


def add_urls(result: Any, organization_id: str) -> Any:
    """The result, changed in place: wherever a `file` is a key among its organisation's results, a
    `url` beside it. No other key gets one, whatever a job wrote into its result."""
    pending = [result]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
            key = value.get("file")
            if isinstance(key, str) and key.startswith(f"results/{organization_id}/"):
                value["url"] = _url(key)
                value["url_expires_at"] = clock.iso(clock.now() + LIFETIME)
        elif isinstance(value, list):
            pending += value
    return result


def _url(key: str) -> str:
    name = quote(PurePosixPath(key).name)
    url: str = aws.client("s3").generate_presigned_url(
        "get_object",
        Params={
            "Bucket": bucket.name(),
            "Key": key,
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{name}",
        },
        ExpiresIn=LIFETIME // clock.SECOND,
    )
    return url
