"""Random requests to DynamoDB: ordinary ones, rare ones and wrong ones."""

import random
from collections.abc import Callable
from typing import Any

Item = dict[str, Any]
"""An item, or a part of a request, in DynamoDB's own form."""

KEYS: dict[str, list[Item]] = {
    "coordination": [{"pk": {"S": pk}, "sk": {"S": sk}} for pk in "ab" for sk in "vwxyz"],
    "jobs": [{"id": {"S": each}} for each in "mnop"],
}
_INDEXES: dict[str, dict[str, tuple[Item, str, list[Item]]]] = {
    # By table and index, where None is the table itself: the partition key, and sort keys.
    "coordination": {
        "": ({"pk": {"S": "a"}}, "sk", [{"S": each} for each in "vwxyz"]),
        "due": ({"due_shard": {"S": "0"}}, "due_at", [{"N": str(each)} for each in (1, 2, 30)]),
    },
    "jobs": {
        "due": ({"due_shard": {"S": "0"}}, "due_at", [{"N": str(each)} for each in (1, 2, 30)]),
        "by_organization": (
            {"organization_id": {"S": "o"}}, "created_key", [{"S": each} for each in ("k1", "k2")],
        ),
    },
}  # fmt: skip
_RANGES = [
    *("#k = {0}", "#k < {0}", "#k <= {0}", "#k > {0}", "#k >= {0}"),
    *("#k BETWEEN {0} AND {1}", "begins_with (#k, {0})"),
]
_VALUES: list[Item] = [
    {"S": "text"}, {"N": "3"}, {"N": "-4"}, {"N": "1.5"}, {"B": b"\x00bytes"}, {"BOOL": True},
    {"L": [{"S": "a"}, {"N": "1"}]}, {"M": {"k": {"S": "v"}}}, {"SS": ["one", "two"]},
    {"NULL": True},
]  # fmt: skip
_OFTEN = [9, 9, 2, 2, 2, 2, 1, 1, 1, 1]
_NAMES = ["n", "t", "other", "listed", "missing"]


class RandomRequests:
    """Makes requests, one after another. Some continue what an earlier answer has begun."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._last_key: tuple[Item, Item] | None = None  # a query, and where its page ended
        self._query: Item = {}

    def request(self) -> tuple[str, Item]:
        """Return the operation and the parameters of a request."""
        make = self._source.choices(
            [self._single, self._transaction, self._queried, self._get, self._batch, self._wrong],
            [9, 4, 6, 3, 2, 1],
        )[0]
        return make()

    def note(self, operation: str, answer: Item) -> None:
        """Note an answer, so that a later request may ask for the next page."""
        if operation == "Query" and "LastEvaluatedKey" in answer:
            self._last_key = self._query, answer["LastEvaluatedKey"]

    def _chance(self, n: int) -> bool:
        return self._source.randrange(n) == 0

    def _table(self) -> str:
        return self._source.choice([*KEYS])

    def _value(self) -> Item:
        return self._source.choices(_VALUES, _OFTEN)[0]

    # --- conditions and updates -------------------------------------------------------------------

    def _condition(self, names: Item, values: Item, depth: int = 0) -> str:
        """Return a condition, and add what it needs to the names and values."""
        if depth < 2 and self._chance(3):
            parts = [self._condition(names, values, depth + 1) for _ in range(2)]
            return self._source.choice(["({} AND {})", "({} OR {})", "NOT {}"]).format(*parts)
        name = f"#c{len(names)}"
        names[name] = self._source.choice([*_NAMES[:2], *_NAMES])

        def value(*kinds: str) -> str:
            possible = [each for each in _VALUES if next(iter(each)) in kinds]
            placeholder = f":c{len(values)}"
            values[placeholder] = self._source.choice(possible) if kinds else self._value()
            return placeholder

        texts = [
            lambda: f"attribute_exists ({name})",
            lambda: f"attribute_not_exists ({name})",
            lambda: f"{name} = {value()}",
            lambda: f"{name} <> {value('S', 'N')}",
            lambda: f"{name} {self._source.choice(['<', '<=', '>', '>='])} {value('N')}",
            lambda: f"begins_with ({name}, {value('S')})",
            lambda: f"{name} IN ({value()}, {value()})",
            lambda: f"{name} BETWEEN {value('N')} AND {value('N')}",
            lambda: f"contains ({name}, {value()})",
        ]
        return self._source.choices(texts, [5, 5, 5, 3, 3, 2, 2, 1, 1])[0]()

    def _update(self, names: Item, values: Item) -> str:
        """Return an update of some clauses, and add what it needs to the names and values."""

        def name() -> str:
            names[f"#u{len(names)}"] = self._source.choice([*_NAMES[:2], *_NAMES])
            return f"#u{len(names) - 1}"

        def value(given: Item | None = None) -> str:
            values[f":u{len(values)}"] = given or self._value()
            return f":u{len(values) - 1}"

        number = {"N": str(self._source.randrange(5))}
        sets: list[Callable[[], str]] = [
            lambda: f"{name()} = {value()}",
            lambda: f"{name()} = {name()} + {value(number)}",
            lambda: f"{name()} = {name()} - {value(number)}",
            lambda: f"{name()} = if_not_exists ({name()}, {value(number)})",
            lambda: f"{name()} = if_not_exists ({name()}, {value(number)}) + {value(number)}",
            lambda: f"{name()}[0] = {value()}",
            lambda: f"{name()} = {name()}",
            lambda: f"{name()} = list_append ({name()}, {value({'L': [{'S': 'b'}]})})",
        ]
        count = self._source.choice([0, 1, 1, 1, 2])
        chosen = self._source.choices(sets, [30, 3, 2, 2, 1, 1, 1, 1], k=count)
        parts = [f"SET {', '.join(make() for make in chosen)}"] if chosen else []
        if not parts or self._chance(3):
            names["#r"] = self._source.choice([*_NAMES, "created_key"])
            parts.append("REMOVE #r")
        if self._chance(8):
            names |= {"#d": "due_at", "#s": "due_shard"}
            values |= {":d": {"N": str(self._source.randrange(1, 40))}, ":s": {"S": "0"}}
            parts[:0] = ["SET #d = :d, #s = :s"] if not chosen else []
            if chosen:
                parts[0] += ", #d = :d, #s = :s"
        if self._chance(4):
            # Only sets are added to tags: moto lets a copied attribute share its set.
            added: Item = self._source.choice([number, number, {"SS": ["two", "three"]}])
            names["#a"] = "tags" if "SS" in added else self._source.choice(_NAMES)
            values[":a"] = added
            parts.append("ADD #a :a")
        return " ".join(parts)

    def _write(self, *, in_transaction: bool) -> tuple[str, Item]:
        table = self._table()
        key = self._source.choice(KEYS[table])
        how = self._source.choice(["Put", "Update", "Update", "Delete"])
        names: Item = {}
        values: Item = {}
        call: Item = {"TableName": table}
        if how == "Put":
            call["Item"] = key | self._attributes(table)
        else:
            call["Key"] = key
        if how == "Update":
            call["UpdateExpression"] = self._update(names, values)
        if self._chance(2):
            call["ConditionExpression"] = self._condition(names, values)
            if self._chance(3):
                call["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if self._chance(20):
            names["#unused"] = "n"
        if names:
            call["ExpressionAttributeNames"] = names
        if values:
            call["ExpressionAttributeValues"] = values
        if not in_transaction and self._chance(2):
            possible = ["ALL_NEW", "ALL_NEW", "UPDATED_NEW", "ALL_OLD"]
            call["ReturnValues"] = self._source.choice(possible) if how == "Update" else "ALL_OLD"
        return how, call

    def _attributes(self, table: str) -> Item:
        found = {
            name: self._value() for name in self._source.sample(_NAMES, self._source.randrange(4))
        }
        for partition, name, ranges in _INDEXES[table].values():
            if name not in ("sk", "id") and not self._chance(3):
                found |= partition | {name: self._source.choice(ranges)}
        if self._chance(30):
            found["large"] = {"S": "large" * self._source.choice([20_000, 90_000])}
        return found

    # --- requests ---------------------------------------------------------------------------------

    def _single(self) -> tuple[str, Item]:
        how, call = self._write(in_transaction=False)
        return f"{how}Item", call

    def _transaction(self) -> tuple[str, Item]:
        writes = [self._write(in_transaction=True) for _ in range(self._source.randrange(1, 4))]
        if self._chance(3):
            table = self._table()
            names: Item = {}
            values: Item = {}
            check = {"TableName": table, "Key": self._source.choice(KEYS[table])}
            check["ConditionExpression"] = self._condition(names, values)
            check["ExpressionAttributeNames"] = names
            if values:
                check["ExpressionAttributeValues"] = values
            writes.append(("ConditionCheck", check))
        return "TransactWriteItems", {"TransactItems": [{how: each} for how, each in writes]}

    def _get(self) -> tuple[str, Item]:
        table = self._table()
        call: Item = {"TableName": table, "Key": self._source.choice(KEYS[table])}
        if self._chance(3):
            call["ProjectionExpression"] = "#0, #1"
            call["ExpressionAttributeNames"] = {"#0": "n", "#1": self._source.choice(_NAMES[1:])}
        return "GetItem", call

    def _batch(self) -> tuple[str, Item]:
        table = self._table()
        keys = self._source.sample(KEYS[table], self._source.randrange(1, 4))
        if self._chance(3):
            transacted = [{"Get": {"TableName": table, "Key": key}} for key in keys]
            return "TransactGetItems", {"TransactItems": transacted}
        if self._chance(2):
            return "BatchGetItem", {"RequestItems": {table: {"Keys": keys}}}
        requests: list[Item] = [
            {"DeleteRequest": {"Key": key}}
            if self._chance(2)
            else {"PutRequest": {"Item": key | self._attributes(table)}}
            for key in keys
        ]
        return "BatchWriteItem", {"RequestItems": {table: requests}}

    def _queried(self) -> tuple[str, Item]:
        if self._last_key and self._chance(2):
            query, start = self._last_key
            self._last_key = None
            return "Query", query | {"ExclusiveStartKey": start}
        table = self._table()
        index = self._source.choice([*_INDEXES[table]])
        partition, range_name, ranges = _INDEXES[table][index]
        ((hash_name, hash_value),) = partition.items()
        call: Item = {"TableName": table, "KeyConditionExpression": "#h = :h"}
        names, values = {"#h": hash_name}, {":h": hash_value}
        if self._chance(2):
            bounds = sorted(self._source.choices(ranges, k=2), key=lambda each: ranges.index(each))
            text = self._source.choice(_RANGES[:-1] if "N" in bounds[0] else _RANGES)
            names["#k"] = range_name
            values |= dict(zip((":l", ":m"), bounds[: 1 + ("{1}" in text)], strict=False))
            call["KeyConditionExpression"] += f" AND {text.format(':l', ':m')}"
        if index:
            call["IndexName"] = index
        elif self._chance(2):
            call["ConsistentRead"] = True
        if self._chance(3):
            call["FilterExpression"] = self._condition(names, values)
        more: list[Item] = [{}, {"Limit": 1}, {"Limit": 2}, {"Select": "COUNT"}]
        call |= self._source.choice(more)
        call |= self._source.choice([{}, {"ScanIndexForward": False}])
        call |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        self._query = call
        return "Query", call

    def _wrong(self) -> tuple[str, Item]:
        """Return a request that DynamoDB refuses, or that only moto answers."""
        table: Item = {"TableName": "coordination"}
        key = KEYS["coordination"][0]
        wrong: list[tuple[str, Item]] = [
            ("GetItem", table | {"Key": {"pk": {"S": "a"}}}),
            ("GetItem", table | {"Key": {"pk": {"S": ""}, "sk": {"S": "x"}}}),
            ("GetItem", table | {"Key": {"pk": {"N": "1"}, "sk": {"S": "x"}}}),
            ("GetItem", {"TableName": "nothing", "Key": key}),
            ("PutItem", table | {"Item": {"pk": {"S": "a"}}}),
            ("PutItem", table | {"Item": key | {"n": {"N": "one"}}}),
            ("PutItem", table | {"Item": key | {"sk": {"S": ""}}}),
            ("PutItem", table | {"Item": key, "ReturnValues": "ALL_NEW"}),
            ("DeleteItem", table | {"Key": key, "ConditionExpression": "attribute_exists (pk)"}),
            ("UpdateItem", table | {
                "Key": key, "UpdateExpression": "SET #0 = :0",
                "ExpressionAttributeNames": {"#0": "sk"},
                "ExpressionAttributeValues": {":0": {"S": "z"}},
            }),
            ("UpdateItem", table | {"Key": key, "UpdateExpression": "SET n = :0"}),
            ("Query", table | {
                "KeyConditionExpression": "#0 = :0",
                "ExpressionAttributeNames": {"#0": "sk"},
                "ExpressionAttributeValues": {":0": {"S": "x"}},
            }),
            ("Query", table | {
                "IndexName": "nothing", "KeyConditionExpression": "#0 = :0",
                "ExpressionAttributeNames": {"#0": "pk"},
                "ExpressionAttributeValues": {":0": {"S": "a"}},
            }),
            ("BatchGetItem", {"RequestItems": {"coordination": {"Keys": [key, key]}}}),
            ("TransactWriteItems", {
                "TransactItems": [{"Put": table | {"Item": key}}, {"Delete": table | {"Key": key}}],
            }),
            ("Scan", table),
            ("DescribeTable", {"TableName": "nothing"}),
        ]  # fmt: skip
        return self._source.choice(wrong)
