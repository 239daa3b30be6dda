"""Read the rows of the jobs table that are due in a lane of the timer."""

from collections.abc import Iterator

from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.doctor.items import Item, read_all

_SHARDS = 8
_PAGE = 100  # rows that one call reads


def due_rows(deployed: Deployed, lane: str, before: int, names: tuple[str, ...]) -> Iterator[Item]:
    """Yield the named attributes of a lane's rows that are due before a time, at most 100 of each
    shard. `lane` is the prefix of the shards of the due index."""
    dynamodb, table = deployed.client("dynamodb"), deployed.id("JobsTable")
    for shard in range(_SHARDS):
        found = dynamodb.query(
            TableName=table,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at < :before",
            ExpressionAttributeValues={
                ":shard": {"S": f"{lane}{shard}"},
                ":before": {"N": str(before)},
            },
            Limit=_PAGE,
        )
        ids = [item["id"]["S"] for item in found["Items"]]
        if ids:
            yield from read_all(dynamodb, table, ids, names)
