"""Copy the rows of a restored table that the current table lacks. No row that exists changes.

python copy_rows.py RESTORED CURRENT          # jobs that had ended, so no work is repeated
python copy_rows.py RESTORED CURRENT --all    # all rows: unfinished jobs start again
"""

import os
import sys
from contextlib import suppress

import boto3

RESTORED, CURRENT = sys.argv[1:3]
ONLY_ENDED = "--all" not in sys.argv

# boto3 itself doesn't read AWS_REGION.
dynamodb = boto3.client("dynamodb", region_name=os.environ.get("AWS_REGION"))
(key, *_) = dynamodb.describe_table(TableName=CURRENT)["Table"]["KeySchema"]
for page in dynamodb.get_paginator("scan").paginate(TableName=RESTORED):
    for item in page["Items"]:
        has_ended = item.get("status", {}).get("S") in ("succeeded", "failed", "canceled")
        if ONLY_ENDED and not has_ended:
            continue
        # If the current table has the row, perhaps in a later state, the write fails.
        with suppress(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(
                TableName=CURRENT,
                Item=item,
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": key["AttributeName"]},
            )
