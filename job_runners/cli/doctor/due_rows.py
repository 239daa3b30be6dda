"""Read the rows of the jobs table that are due in a lane of the timer."""

from collections.abc import Iterator

from job_runners.cli.doctor.deployed import Deployed, Item

_SHARDS = 8
_PAGE = 100  # rows that one call reads


def due_rows(deployed: Deployed, lane: str, before: int) -> Iterator[Item]:
    """Yield the lane's rows that are due before a time, at most 100 of each shard.

    `lane` is the prefix of the shards of the due index. Rows that DynamoDB is too busy to read are
    left out.
    """
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
        if keys := [{"id": item["id"]} for item in found["Items"]]:
            request = {table: {"Keys": keys, "ConsistentRead": True}}
            yield from dynamodb.batch_get_item(RequestItems=request)["Responses"][table]
