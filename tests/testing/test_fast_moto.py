"""The quick way to moto's tables answers as moto does, and leaves the same items."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import boto3
import pytest
import requests
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from moto import mock_aws

from job_runners.testing import fast_queries, moto_direct
from job_runners.testing.aws import create_tables, on_moto
from job_runners.testing.fast_moto import Item, fast_moto

_KEYS: list[Item] = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk in "ab" for sk in "xyz"]
_TABLE: Item = {"TableName": "coordination"}


def _value(source: random.Random) -> Item:
    kinds: list[Item] = [
        {"S": "text"},
        {"N": "3"},
        {"B": b"\x00bytes"},
        {"L": [{"S": "a"}, {"N": "1"}]},
        {"M": {"k": {"S": "v"}}},
        {"SS": ["one", "two"]},
        {"BOOL": True},
    ]
    return source.choice(kinds)


def _condition(source: random.Random) -> Item:
    """Return a condition with what it names, or with a name that nothing uses."""
    if source.randrange(3) == 0:
        return {}
    text, value = source.choice(
        [
            ("attribute_exists (#9)", None),
            ("attribute_not_exists (#9)", None),
            ("#9 = :9", {"N": "3"}),
            ("(begins_with (#9, :9) OR attribute_not_exists (#9))", {"S": "te"}),
        ]
    )
    call: Item = {"ConditionExpression": text}
    call["ExpressionAttributeNames"] = {"#9": source.choice(["n", "t", "pk"])}
    if source.randrange(8) == 0:
        call["ExpressionAttributeNames"]["#8"] = "unused"
    if value is not None:
        call["ExpressionAttributeValues"] = {":9": value}
    return call


def _update(source: random.Random) -> Item:
    """Return an update of some of the clauses that there are."""
    possible: list[tuple[str, Item]] = [
        ("#0 = :0", {":0": _value(source)}),
        ("#1 = :1", {":1": {"N": "1"}}),
        ("#2 = #2 + :2", {":2": {"N": "1"}}),
        ("#3 = if_not_exists (#3, :3)", {":3": {"N": "7"}}),
        ("#4[0] = :4", {":4": {"S": "in a list"}}),
        ("#2 = #1 - :5", {":5": {"N": "1"}}),
    ]
    sets = source.sample(possible, source.randrange(4))
    removed = source.sample(["#0", "#1", "#3", "#4"], source.randrange(3))
    of_value: tuple[str, Item] = ("#0 :7", {":7": _value(source)})
    added = source.choice([None, None, ("#5 :6", {":6": {"N": "2"}}), of_value])
    text = " ".join(
        part
        for part in (
            sets and "SET " + ", ".join(clause for clause, _ in sets),
            removed and "REMOVE " + ", ".join(removed),
            added and "ADD " + added[0],
        )
        if part
    )
    names = {"#0": "t", "#1": "n", "#2": "n", "#3": "other", "#4": "listed", "#5": "n"}
    call = _condition(source)
    call["UpdateExpression"] = text or "REMOVE #0"
    used = {name: of for name, of in names.items() if name in call["UpdateExpression"]}
    call["ExpressionAttributeNames"] = call.get("ExpressionAttributeNames", {}) | used
    clauses = [*sets, added] if added else sets
    values = {name: value for _, each in clauses for name, value in each.items()}
    if values:
        call["ExpressionAttributeValues"] = call.get("ExpressionAttributeValues", {}) | values
    return call


def _write(source: random.Random) -> tuple[str, Item]:
    key = source.choice(_KEYS)
    how = source.choice(["Put", "Update", "Update", "Delete"])
    if how == "Put":
        item = {"n": {"N": str(source.randrange(5))}, "t": _value(source)}
        item["large"] = {"S": "large" * source.choice([1, 1, 1, 50_000, 100_000])}
        return how, _TABLE | _condition(source) | {"Item": key | item}
    return how, _TABLE | (_update(source) if how == "Update" else _condition(source)) | {"Key": key}


def _call(source: random.Random) -> tuple[str, Item]:
    """Return the name and the parameters of a call."""
    match source.randrange(6):
        case 0:
            writes = [_write(source) for _ in range(source.randrange(1, 4))]
            if source.randrange(3) == 0:
                key = source.choice(_KEYS)
                exists = {"ConditionExpression": "attribute_exists (pk)"}
                writes.append(("ConditionCheck", _TABLE | exists | {"Key": key}))
            return "transact_write_items", {"TransactItems": [{how: each} for how, each in writes]}
        case 1:
            possible: list[Item] = [{"Limit": 1}, {"ScanIndexForward": False}, {"Select": "COUNT"}]
            more = source.choice([{}, *possible])
            return "query", _TABLE | more | {
                "KeyConditionExpression": "#0 = :0",
                "ExpressionAttributeNames": {"#0": "pk"},
                "ExpressionAttributeValues": {":0": {"S": source.choice("ab")}},
            }
        case 2:
            return "get_item", _TABLE | {"Key": source.choice(_KEYS), "ConsistentRead": True}
        case _:
            how, call = _write(source)
            returned = {"ReturnValues": "ALL_NEW"} if how == "Update" else {}
            return f"{how.lower()}_item", call | returned


@contextmanager
def _tables(how: str) -> Iterator[Any]:
    """Yield a client of new tables, on moto itself or on the quick one."""
    with mock_aws(), fast_moto() if how == "quick" else nullcontext():
        create_tables()
        yield boto3.client("dynamodb")


def _answers(seed: int, how: str) -> tuple[list[Any], list[Any]]:
    """Return what each call of a seed is answered, and the items that are left."""
    source = random.Random(seed)
    said: list[Any] = []
    with _tables(how) as client:
        for _ in range(60):
            name, call = _call(source)
            try:
                answer = getattr(client, name)(**call)
                said.append((name, {k: v for k, v in answer.items() if k != "ResponseMetadata"}))
            except ClientError as error:
                reasons = error.response.get("CancellationReasons")
                said.append((name, error.response["Error"], reasons))
            except (KeyError, TypeError, AttributeError) as error:  # moto's own
                said.append((name, repr(error)))
        left = [moto_direct.stored("coordination", key) for key in _KEYS]
    return said, left


@pytest.mark.parametrize("seed", range(6))
def test_each_answer_and_what_is_left_are_as_with_moto_itself(seed: int) -> None:
    assert _answers(seed, "quick") == _answers(seed, "slow")


def _queried(seed: int, how: str) -> list[Any]:
    """Return the answers to the queries of a seed, between puts and deletes of many items."""
    source = random.Random(seed)
    answers: list[Any] = []
    with _tables(how) as client:
        for _ in range(100):
            key = {"pk": {"S": source.choice("ab")}, "sk": {"S": f"{source.randrange(50):02o}"}}
            if source.randrange(3):
                client.put_item(**_TABLE, Item=key)
            else:
                client.delete_item(**_TABLE, Key=key)
            answer = client.query(**_query(source, key))
            answers.append({k: v for k, v in answer.items() if k != "ResponseMetadata"})
    return answers


def _query(source: random.Random, key: Item) -> Item:
    condition = source.choice(["", " AND begins_with (#1, :1)", " AND #1 > :1"])
    call = _TABLE | source.choice([{}, {"Limit": 1}, {"Limit": 3}, {"Limit": 50}])
    call |= source.choice([{}, {"ScanIndexForward": False}, {"ExclusiveStartKey": key}])
    names, values = {"#0": "pk"}, {":0": key["pk"]}
    if condition:
        names["#1"], values[":1"] = "sk", {"S": source.choice("0123")}
    return call | {
        "KeyConditionExpression": f"#0 = :0{condition}",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def test_each_query_finds_what_it_finds_with_moto_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_queries, "_LARGE", 5)
    assert _queried(7, "quick") == _queried(7, "slow")


def test_a_transaction_with_an_item_that_is_too_large_changes_nothing(aws: None) -> None:
    large = {"large": {"S": "large" * 100_000}}
    puts: list[Any] = [_TABLE | {"Item": _KEYS[0]}, _TABLE | {"Item": _KEYS[1] | large}]
    with pytest.raises(ClientError, match="size"):
        boto3.client("dynamodb").transact_write_items(TransactItems=[{"Put": put} for put in puts])
    assert moto_direct.rows("coordination") == []


@pytest.mark.parametrize("way", ["http", "direct"])
def test_a_query_between_reversed_bounds_is_refused_as_dynamodb_does(aws: None, way: str) -> None:
    def found(lower: str, upper: str) -> tuple[int, Any]:
        call: Item = _TABLE | {
            "KeyConditionExpression": "#0 = :0 AND #1 BETWEEN :1 AND :2",
            "ExpressionAttributeNames": {"#0": "pk", "#1": "sk"},
            "ExpressionAttributeValues": {
                ":0": {"S": "a"}, ":1": {"S": lower}, ":2": {"S": upper},
            },
        }  # fmt: skip
        if way == "direct":
            headers = {"X-Amz-Target": "DynamoDB_20120810.Query"}
            return moto_direct.answer(AWSRequest("POST", "", headers, json.dumps(call)))
        try:
            return 200, boto3.client("dynamodb").query(**call)
        except ClientError as error:
            answer: Any = error.response
            return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]

    assert found("x", "x")[0] == 200
    status, answer = found("\uffff", "\U0010ffff")
    assert (status, answer["Count"]) == (200, 0)  # in the order of their bytes
    status, answer = found("y", "x")
    assert status == 400
    assert "requires upper bound to be greater than or equal to lower bound" in str(answer)


def test_what_one_block_leaves_no_later_one_sees(environment: None) -> None:
    def leave_and_list(name: str) -> tuple[list[str], list[str], list[str], int]:
        with on_moto():
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
        with on_moto():
            boto3.client("s3").put_object(Bucket="bucket", Key="a b", Body=b"here")
            asked = {"Bucket": "bucket", "Key": "a b"}
            url = boto3.client("s3").generate_presigned_url("get_object", Params=asked)
            assert requests.get(url, timeout=60).content == b"here"
