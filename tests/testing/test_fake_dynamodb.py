"""The DynamoDB in memory answers as moto does, and leaves the same items."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from job_runners.fake_dynamodb import behind_moto, boundary
from job_runners.fake_dynamodb.database import Consistency, Read, Write
from job_runners.fake_dynamodb.stale import RecentWrites
from job_runners.testing import moto_direct
from job_runners.testing.aws import create_tables, simulated_stack
from random_requests import KEYS, Item, RandomRequests
from sizes import by_size

_COORDINATION: Item = {"TableName": "coordination"}
# Capacity is moto's invention, and the metadata has times and ids.
_LEAST_OWN = 85  # of a seed's 100 requests, which the fake answers itself: usually 97
_NOT_COMPARED = ("ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics")


@contextmanager
def _client(door: str) -> Iterator[Any]:
    """Yield a client of new tables: on moto itself, or on one of the ways to the fake."""
    with mock_aws() if door == "moto" else boundary.mocked_aws():
        create_tables()
        config = Config(parameter_validation=door != "call")
        yield boto3.client("dynamodb", config=config)


@contextmanager
def _counted(own: list[str]) -> Iterator[None]:
    """Add to `own` each operation that the fake answers itself, without moto's help."""
    answer_to = boundary.answer_to

    def noted(operation: str, call: Item) -> tuple[int, Item]:
        answer = answer_to(operation, call)
        own.append(operation)
        return answer

    with patch.object(boundary, "answer_to", noted):
        yield


def _played(seed: int, door: str, count: int) -> tuple[list[Any], list[Any]]:
    """Return the answers to the requests of a seed, and the items that are left."""
    source = RandomRequests(random.Random(seed))
    answers: list[Any] = []
    with _client(door) as client:
        for _ in range(count):
            operation, call = source.request()
            try:
                answer = client._make_api_call(operation, call)
                answers.append(_comparable(answer))
                source.note(operation, answer)
            except ClientError as error:
                answers.append(_comparable(error.response))
            except (KeyError, TypeError, AttributeError, ValueError) as error:  # moto's own
                answers.append(repr(error))
        left = [
            _comparable(client.get_item(TableName=table, Key=key).get("Item"))
            for table, keys in KEYS.items()
            for key in keys
        ]
    return answers, left


def _comparable(part: Any) -> Any:
    """Return a part of an answer without what isn't compared. Sets have no order."""
    match part:
        case {"SS": list(members)}:
            return {"SS": sorted(members)}
        case dict():
            return {k: _comparable(v) for k, v in part.items() if k not in _NOT_COMPARED}
        case list():
            return [_comparable(each) for each in part]
    return part


@pytest.mark.parametrize("seed", range(by_size(3, more=24, chaos=1000)))
def test_each_answer_and_what_is_left_are_as_with_moto(seed: int, environment: None) -> None:
    expected, expected_left = _played(seed, "moto", 100)
    for door in ("call", "request"):
        own: list[str] = []
        with _counted(own):
            answers, left = _played(seed, door, 100)
        # The items that are left are read, too.
        assert len(own) - len(left) >= _LEAST_OWN, "moto was compared with itself"
        for number, (answer, theirs) in enumerate(zip(answers, expected, strict=True)):
            assert answer == theirs, f"request {number} through {door}"
        assert left == expected_left


def test_the_fake_itself_answers_nine_tenths_of_the_requests(environment: None) -> None:
    own: list[str] = []
    with _counted(own):
        left = sum(len(_played(seed, "call", 100)[1]) for seed in range(5))
    assert len(own) - left >= 450


def test_a_query_between_reversed_bounds_is_refused_as_dynamodb_does(aws: None) -> None:
    def found(lower: str, upper: str) -> Any:
        return boto3.client("dynamodb").query(
            **_COORDINATION,
            KeyConditionExpression="#0 = :0 AND #1 BETWEEN :1 AND :2",
            ExpressionAttributeNames={"#0": "pk", "#1": "sk"},
            ExpressionAttributeValues={
                ":0": {"S": "a"}, ":1": {"S": lower}, ":2": {"S": upper},
            },
        )  # fmt: skip

    assert found("x", "x")["Count"] == 0
    assert found("\uffff", "\U0010ffff")["Count"] == 0  # in the order of their bytes
    with pytest.raises(ClientError, match="requires upper bound to be greater than or equal to"):
        found("y", "x")


def test_a_transaction_that_is_sent_again_with_its_token_does_nothing(aws: None) -> None:
    add: Any = _COORDINATION | {
        "Key": {"pk": {"S": "a"}, "sk": {"S": "x"}},
        "UpdateExpression": "ADD #0 :0",
        "ExpressionAttributeNames": {"#0": "n"},
        "ExpressionAttributeValues": {":0": {"N": "1"}},
    }
    for _ in range(2):
        boto3.client("dynamodb").transact_write_items(
            TransactItems=[{"Update": add}], ClientRequestToken="the same"
        )
    assert [row["n"] for row in moto_direct.rows("coordination")] == [1]


def test_a_batch_of_too_many_writes_is_refused_as_dynamodb_does(aws: None) -> None:
    """Moto has no such limit."""
    puts: Any = [
        {"PutRequest": {"Item": {"pk": {"S": "a"}, "sk": {"S": f"{number:02}"}}}}
        for number in range(26)
    ]
    client = boto3.client("dynamodb")
    client.batch_write_item(RequestItems={"coordination": puts[:25]})
    with pytest.raises(ClientError, match="Too many items requested for the BatchWriteItem call"):
        client.batch_write_item(RequestItems={"coordination": puts})
    assert len(moto_direct.rows("coordination")) == 25


def test_a_read_that_is_not_consistent_may_miss_the_latest_writes(aws: None) -> None:
    client: Any = boto3.client("dynamodb")
    now = 0
    database = behind_moto.database()
    recent = RecentWrites(database, max_writes=2, max_age=100, now=lambda: now)
    database.view = lambda table, consistency: (
        {} if consistency is Consistency.CONSISTENT else recent.overlay(table)
    )
    key = {"pk": {"S": "a"}, "sk": {"S": "x"}}

    def put(number: int) -> None:
        client.put_item(**_COORDINATION, Item=key | {"n": {"N": str(number)}})

    def seen(*, consistent: bool) -> list[str | None]:
        asked: Any = _COORDINATION | {"ConsistentRead": consistent}
        batch: Any = {"coordination": {"Keys": [key], "ConsistentRead": consistent}}
        found: list[Any] = [
            client.get_item(**asked, Key=key).get("Item"),
            *(client.batch_get_item(RequestItems=batch)["Responses"]["coordination"] or [None]),
            *(client.query(**asked, **_all_of_a())["Items"] or [None]),
        ]
        return [item and item["n"]["N"] for item in found]

    put(1)
    assert seen(consistent=False) == [None] * 3
    assert seen(consistent=True) == ["1"] * 3
    put(2)
    put(3)
    assert seen(consistent=False) == ["1"] * 3
    now = 101
    assert seen(consistent=False) == ["3"] * 3
    client.delete_item(**_COORDINATION, Key=key)
    assert seen(consistent=False) == ["3"] * 3
    assert seen(consistent=True) == [None] * 3


def _all_of_a() -> Item:
    return {
        "KeyConditionExpression": "#0 = :0",
        "ExpressionAttributeNames": {"#0": "pk"},
        "ExpressionAttributeValues": {":0": {"S": "a"}},
    }


@pytest.mark.views
def test_each_read_and_write_is_counted(aws: None) -> None:
    client, database = boto3.client("dynamodb"), behind_moto.database()
    writes: list[Write] = []
    reads: list[Read] = []
    database.on_write.append(writes.append)
    database.on_read.append(reads.append)
    item = {"pk": {"S": "a"}, "sk": {"S": "x"}, "n": {"N": "12"}}
    client.put_item(**_COORDINATION, Item=item)
    key = {"pk": item["pk"], "sk": item["sk"]}
    client.get_item(**_COORDINATION, Key=key, ConsistentRead=True)
    client.query(**_COORDINATION, **_all_of_a(), ConsistentRead=True)
    assert [(write.key, write.before) for write in writes] == [(("a", "x"), None)]
    size = len("pk" + "a" + "sk" + "x" + "n") + 3
    assert [(read.size, read.consistent) for read in reads] == [(size, True)] * 2


def test_what_one_block_leaves_no_later_one_sees(environment: None) -> None:
    def leave_and_list(name: str) -> tuple[list[str], list[str], list[str], int]:
        with simulated_stack():
            before = _seen()
            boto3.client("dynamodb").put_item(TableName="jobs", Item={"id": {"S": name}})
            boto3.client("s3").put_object(Bucket="bucket", Key=name, Body=b"left")
            boto3.client("s3").create_bucket(Bucket=name)
            boto3.client("sqs").create_queue(QueueName=name)
        return before

    assert leave_and_list("one") == ([], [], ["bucket"], 0)
    assert leave_and_list("two") == ([], [], ["bucket"], 0)


def _seen() -> tuple[list[str], list[str], list[str], int]:
    """Return the rows, the objects, the buckets, and the number of queues."""
    s3 = boto3.client("s3")
    return (
        [row["id"] for row in moto_direct.rows("jobs")],
        [each["Key"] for each in s3.list_objects_v2(Bucket="bucket").get("Contents", [])],
        [each["Name"] for each in s3.list_buckets()["Buckets"]],
        len(boto3.client("sqs").list_queues().get("QueueUrls", [])),
    )


def test_no_block_lets_requests_go_to_aws_itself(environment: None) -> None:
    for _ in range(2):
        with simulated_stack():
            boto3.client("s3").put_object(Bucket="bucket", Key="a b", Body=b"here")
            asked = {"Bucket": "bucket", "Key": "a b"}
            url = boto3.client("s3").generate_presigned_url("get_object", Params=asked)
            assert requests.get(url, timeout=60).content == b"here"


def test_a_description_of_a_table_touches_no_items() -> None:
    """It would take seconds with many items. AWS too counts the items only every six hours."""
    with _client("call") as client:
        client.put_item(TableName="coordination", Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
        assert client.describe_table(**_COORDINATION)["Table"]["ItemCount"] == 0
        assert set(client.list_tables()["TableNames"]) == {"coordination", "jobs"}
        assert len(client.scan(**_COORDINATION)["Items"]) == 1


def test_a_query_without_placeholders_lends_moto_no_items() -> None:
    """Moto would need seconds with many items. A reserved word is refused, as DynamoDB does."""
    own: list[str] = []
    values = {":pk": {"S": "a"}}
    with _client("call") as client, _counted(own):
        query = {**_COORDINATION, "ExpressionAttributeValues": values}
        assert client.query(**query, KeyConditionExpression="pk = :pk")["Items"] == []
        assert own == ["Query"]
        with pytest.raises(ClientError, match="ValidationException"):
            client.query(**query, KeyConditionExpression="name = :pk")
        assert own == ["Query"]
