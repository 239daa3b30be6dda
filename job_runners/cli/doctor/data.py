"""Check the tables and the bucket: expiry, indexes and protection."""

from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed

_TTL_ATTRIBUTE = "expires_at"
_INDEXES_BY_TABLE = {
    "JobsTable": {
        "by_organization": ("organization_id", "created_key"),
        "due": ("due_shard", "due_at"),
        "failed": ("failed_organization", "failed_key"),
        "unfinished": ("unfinished_organization", "created_key"),
    },
    "CoordinationTable": {"due": ("due_shard", "due_at")},
}


def expiry(deployed: Deployed) -> Iterator[Issue]:
    """Check that the tables delete expired rows."""
    for logical_id in _INDEXES_BY_TABLE:
        table = deployed.id(logical_id)
        answer = deployed.client("dynamodb").describe_time_to_live(TableName=table)
        ttl = answer["TimeToLiveDescription"]
        is_on = ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
        if not is_on or ttl.get("AttributeName") != _TTL_ATTRIBUTE:
            state = f"uses {ttl.get('AttributeName')}" if is_on else "is off"
            yield Issue(
                f"TTL of {table} {state}. Finished rows are never deleted, and you pay for them.",
                f"aws dynamodb update-time-to-live --table-name {table} "
                f"--time-to-live-specification Enabled=true,AttributeName={_TTL_ATTRIBUTE}",
            )


def indexes(deployed: Deployed) -> Iterator[Issue]:
    """Check the indexes. The timer and every request that lists jobs read them."""
    for logical_id, expected in _INDEXES_BY_TABLE.items():
        table = deployed.id(logical_id)
        described = deployed.client("dynamodb").describe_table(TableName=table)["Table"]
        found = {each["IndexName"]: each for each in described.get("GlobalSecondaryIndexes", [])}
        for name, keys in expected.items():
            if name not in found:
                yield Issue(f"{table} has no index {name}.", "job-runners deploy creates it again.")
                continue
            actual = {each["KeyType"]: each["AttributeName"] for each in found[name]["KeySchema"]}
            if (actual.get("HASH"), actual.get("RANGE")) != keys:
                yield Issue(
                    f"The index {name} of {table} has the keys {', '.join(actual.values())} "
                    f"instead of {', '.join(keys)}.",
                    "Delete that index. Then job-runners deploy creates the right one.",
                )
            elif (status := found[name].get("IndexStatus", "ACTIVE")) != "ACTIVE":
                yield Issue(
                    f"The index {name} of {table} is {status}.",
                    "Wait until DynamoDB has built it. Until then it misses rows.",
                )


def protection(deployed: Deployed) -> Iterator[Issue]:
    """Check the protection against accidental deletion."""
    bucket = deployed.stack.bucket_name
    if deployed.client("s3").get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        yield Issue(
            f"The bucket {bucket} keeps no versions. Files deleted by mistake can't be restored.",
            "job-runners deploy turns versioning on.",
            Verdict.ADVICE,
        )
    for logical_id in _INDEXES_BY_TABLE:
        table = deployed.id(logical_id)
        client = deployed.client("dynamodb")
        backups = client.describe_continuous_backups(TableName=table)
        recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
            yield Issue(
                f"{table} has no point-in-time recovery. Rows deleted by mistake can't be "
                "restored.",
                f"aws dynamodb update-continuous-backups --table-name {table} "
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
                Verdict.ADVICE,
            )
        described = client.describe_table(TableName=table)["Table"]
        if not described.get("DeletionProtectionEnabled"):
            yield Issue(
                f"{table} can be deleted with one call.",
                "Deploy with DeletionProtection=true, which is the default.",
                Verdict.ADVICE,
            )
