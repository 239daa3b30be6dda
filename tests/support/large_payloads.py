"""A payload that a row has no room for, and the objects that such payloads are kept in."""

from job_runners.aws import clients

# It stays large when it is compressed.
LARGE = "".join(chr(33 + n * n % 90) + str(n * 7919) for n in range(4000))


def objects() -> list[str]:
    """Return the keys of the payloads that are kept in the bucket."""
    listed = clients.client("s3").list_objects_v2(Bucket="bucket", Prefix="payloads/")
    return [each["Key"] for each in listed.get("Contents", ())]
