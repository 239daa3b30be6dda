"""Random requests to DynamoDB: ordinary ones, rare ones and wrong ones.

The DynamoDB in memory answers the ordinary ones itself. Only these compare it with moto, so at most
one request in 20 is rare.
"""

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
        "failed": (
            {"failed_organization": {"S": "o"}}, "failed_key", [{"S": each} for each in ("f", "g")],
        ),
        "unfinished": (
            {"unfinished_organization": {"S": "o"}}, "created_key",
            [{"S": each} for each in ("k1", "k2")],
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
_SCALARS = _VALUES[:6]
_NUMBERS = [{"N": "3"}, {"N": "-4"}, {"N": "12"}]
# The attributes `n` and `m` are numbers, and `t` is a text. Those of `_ANY` may be anything.
_ANY = ["other", "listed", "missing"]
_NAMES = ["n", "t", *_ANY]
_RARE = 60  # one in so many parts of a request is rare


class RandomRequests:
    """Makes requests, one after another. Some continue what an earlier answer has begun."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._last_key: tuple[Item, Item] | None = None  # a query, and where its page ended
        self._query: Item = {}
        self._transaction_again: Item | None = None  # the next request, if it isn't None

    def request(self) -> tuple[str, Item]:
        """Return the operation and the parameters of a request."""
        if self._transaction_again is not None:
            again, self._transaction_again = self._transaction_again, None
            return "TransactWriteItems", again
        make = self._source.choices(
            [self._single, self._transaction, self._queried, self._get, self._batch, self._wrong],
            [36, 16, 24, 12, 8, 1],
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

    def _value(self, name: str = "other") -> Item:
        """Return a value that the attribute with this name may have."""
        if name in ("n", "m"):
            return self._source.choice(_NUMBERS)
        return {"S": "text"} if name == "t" else self._source.choices(_VALUES, _OFTEN)[0]

    def _is_rare(self) -> bool:
        return self._chance(_RARE)

    # --- conditions and updates -------------------------------------------------------------------

    def _condition(self, names: Item, values: Item, depth: int = 0) -> str:
        """Return a condition, and add what it needs to the names and values."""
        if depth < 2 and self._chance(3):
            form: str = self._source.choice(["({} AND {})", "({} OR {})", "NOT {}"])
            parts = [self._condition(names, values, depth + 1) for _ in range(form.count("{}"))]
            if form == "NOT {}" and parts[0].startswith("NOT"):
                return parts[0]  # moto doesn't read two of them
            return form.format(*parts)
        if self._is_rare():
            return self._rare_condition(names, values)
        name = self._source.choice(_NAMES)

        def placeholder(name: str) -> str:
            names[f"#c{len(names)}"] = name
            return f"#c{len(names) - 1}"

        def value(*possible: Item) -> str:
            values[f":c{len(values)}"] = self._source.choice(possible)
            return f":c{len(values) - 1}"

        same = {"n": _NUMBERS, "t": _SCALARS[:1]}.get(name, [])
        texts = [
            lambda: f"attribute_exists ({placeholder(name)})",
            lambda: f"attribute_not_exists ({placeholder(name)})",
            lambda: f"{placeholder('n')} <> {value(*_SCALARS[:5])}",
            lambda: (
                f"{placeholder('n')} {self._source.choice([*'<>', '<=', '>='])} {value(*_NUMBERS)}"
            ),
            lambda: f"begins_with ({placeholder('t')}, {value({'S': 'te'}, {'S': 'x'})})",
            lambda: f"{placeholder('n')} BETWEEN {value(*_NUMBERS)} AND {value(*_NUMBERS)}",
            lambda: f"{placeholder('n')} IN ({value(*_NUMBERS)}, {value(*_SCALARS[:5])})",
            lambda: f"{placeholder('t')} = {value(*_SCALARS[:5])}",
            lambda: f"{placeholder(name)} = {value(*same)}",
        ]
        return self._source.choices(texts, [5, 5, 3, 4, 3, 2, 2, 3, 4 if same else 0])[0]()

    def _rare_condition(self, names: Item, values: Item) -> str:
        """Return a condition that compares values of any two kinds, or that only moto reads."""
        name, value = f"#c{len(names)}", f":c{len(values)}"
        names[name], values[value] = self._source.choice(_NAMES), self._value()
        forms = ["{} = {}", "{} < {}", "contains ({}, {})", "begins_with ({}, {})", "{} <> {}"]
        form: str = self._source.choice(forms)
        return form.format(name, value)

    def _update(self, names: Item, values: Item) -> str:
        """Return an update of some clauses, and add what it needs to the names and values."""
        update = _Update(names, values, self._source.sample(["n", "t", "m", *_ANY], 6))
        parts = self._assignments(update)
        clauses = [f"SET {', '.join(parts)}"] if parts else []
        if not clauses or self._chance(3):
            removed = self._source.choice(["created_key", "failed_key", *update.left])
            update.left = [each for each in update.left if each != removed]
            clauses.append(f"REMOVE {update.read(removed)}")
        if self._chance(4) and {"n", "m"} & {*update.left}:
            clauses.append(f"ADD {update.number()} {update.value(self._small())}")
        elif self._is_rare():
            # Only sets are added to tags: moto lets a copied attribute share its set.
            clauses.append(f"ADD {update.read('tags')} {update.value({'SS': ['two', 'three']})}")
        return " ".join(clauses)

    def _assignments(self, to: "_Update") -> list[str]:
        name, number, read, value = to.name, to.number, to.read, to.value

        def put() -> str:
            placeholder = name()
            return f"{placeholder} = {value(self._value(to.names[placeholder]))}"

        small = self._small()
        usual: list[Callable[[], str]] = [
            put,
            lambda: f"{number()} = if_not_exists ({read('n')}, {value(small)})",
            lambda: f"{number()} = if_not_exists ({read('n')}, {value(small)}) + {value(small)}",
            lambda: f"{number()} = if_not_exists ({read('m')}, {value(small)}) - {value(small)}",
        ]
        rare: list[Callable[[], str]] = [
            lambda: f"{number()} = {read('n')} + {value(small)}",  # refused if there is none
            lambda: f"{name()}[0] = {value(self._value())}",
            lambda: f"{name()} = {read('missing')}",
            lambda: f"{name()} = list_append ({read('listed')}, {value({'L': [{'S': 'b'}]})})",
        ]
        count = self._source.choice([0, 1, 1, 1, 2])
        parts = [make() for make in self._source.choices(usual, [12, 2, 2, 1], k=count)]
        if self._is_rare():
            parts.append(self._source.choice(rare)())
        if self._chance(8):
            due = {"N": str(self._source.randrange(1, 40))}
            parts.append(f"{read('due_at')} = {value(due)}")
            parts.append(f"{read('due_shard')} = {value({'S': '0'})}")
        return parts

    def _small(self) -> Item:
        return {"N": str(self._source.randrange(5))}

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
        if self._chance(2 * _RARE):
            names["#unused"] = "n"
        if names:
            call["ExpressionAttributeNames"] = names
        if values:
            call["ExpressionAttributeValues"] = values
        if not in_transaction and self._chance(2):
            new = "UPDATED_NEW" if self._is_rare() else self._source.choice(["ALL_NEW", "ALL_OLD"])
            call["ReturnValues"] = new if how == "Update" else "ALL_OLD"
        return how, call

    def _attributes(self, table: str) -> Item:
        found = {
            name: self._value(name)
            for name in self._source.sample(_NAMES, self._source.randrange(4))
        }
        for partition, name, ranges in _INDEXES[table].values():
            if name not in ("sk", "id") and not self._chance(3):
                found |= partition | {name: self._source.choice(ranges)}
        if self._chance(_RARE):
            found["large"] = {"S": "large" * self._source.choice([20_000, 90_000])}
        return found

    # --- requests ---------------------------------------------------------------------------------

    def _single(self) -> tuple[str, Item]:
        how, call = self._write(in_transaction=False)
        return f"{how}Item", call

    def _transaction(self) -> tuple[str, Item]:
        writes = [self._write(in_transaction=True) for _ in range(self._source.randrange(1, 4))]
        used = [self._key(each) for _, each in writes]
        if self._chance(3):
            table = self._table()
            names: Item = {}
            values: Item = {}
            free = [key for key in KEYS[table] if key not in used] or KEYS[table]
            check = {"TableName": table, "Key": self._source.choice(free)}
            check["ConditionExpression"] = self._condition(names, values)
            check["ExpressionAttributeNames"] = names
            if values:
                check["ExpressionAttributeValues"] = values
            writes.append(("ConditionCheck", check))
        # One in ten has two writes of an item, which DynamoDB refuses.
        if not self._chance(10):
            last = {repr(self._key(each)): (how, each) for how, each in writes}
            writes = [*last.values()]
        call: Item = {"TransactItems": [{how: each} for how, each in writes]}
        if self._chance(3):
            call["ClientRequestToken"] = str(self._source.random())
            # Moto carries a repetition out again. That changes nothing if it only puts items.
            if all(how == "Put" and "ConditionExpression" not in each for how, each in writes):
                self._transaction_again = call
        return "TransactWriteItems", call

    def _key(self, write: Item) -> Item:
        table = write["TableName"]
        named = write.get("Key") or write["Item"]
        return {name: named[name] for name in KEYS[table][0]}

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
        if self._chance(20):
            return self._too_many(table)
        is_twice = self._chance(10)
        if is_twice:
            keys.append(keys[0])
        if self._chance(_RARE):
            transacted = [{"Get": {"TableName": table, "Key": key}} for key in keys]
            return "TransactGetItems", {"TransactItems": transacted}
        if self._chance(2):
            return "BatchGetItem", {"RequestItems": {table: {"Keys": keys}}}
        requests: list[Item] = [
            {"DeleteRequest": {"Key": key}}
            if is_twice or self._chance(2)  # moto takes a put and a delete of one item
            else {"PutRequest": {"Item": key | self._attributes(table)}}
            for key in keys
        ]
        return "BatchWriteItem", {"RequestItems": {table: requests}}

    def _too_many(self, table: str) -> tuple[str, Item]:
        """Return a batch or a transaction of more items than DynamoDB takes."""
        keys = [{name: {"S": f"{number}"} for name in KEYS[table][0]} for number in range(101)]
        if self._chance(3):
            deletes = [{"Delete": {"TableName": table, "Key": key}} for key in keys]
            return "TransactWriteItems", {"TransactItems": deletes}
        if self._chance(2):
            return "BatchGetItem", {"RequestItems": {table: {"Keys": keys}}}
        parts = {table: {"Keys": keys[:60]}}
        other = next(each for each in KEYS if each != table)
        names = KEYS[other][0]
        parts[other] = {"Keys": [{name: {"S": str(each)} for name in names} for each in range(60)]}
        return "BatchGetItem", {"RequestItems": parts}

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
        if self._chance(3):
            for placeholder, name in names.items():
                plain = call["KeyConditionExpression"].replace(placeholder, name)
                call["KeyConditionExpression"] = plain
            names = {}
        if index:
            call["IndexName"] = index
        elif self._chance(2):
            call["ConsistentRead"] = True
        if self._chance(3):
            call["FilterExpression"] = self._condition(names, values)
        more: list[Item] = [{}, {"Limit": 1}, {"Limit": 2}, {"Select": "COUNT"}]
        call |= self._source.choice(more)
        if "Select" not in call and self._chance(3):
            names |= {"#p0": range_name, "#p1": "n"}
            call["ProjectionExpression"] = "#p0, #p1"
        call |= self._source.choice([{}, {"ScanIndexForward": False}])
        call |= {"ExpressionAttributeNames": names} if names else {}
        call["ExpressionAttributeValues"] = values
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


class _Update:
    """The placeholders of an update, and the attributes that it may still change, in this order."""

    def __init__(self, names: Item, values: Item, left: list[str]) -> None:
        self.names = names
        self.values = values
        self.left = left

    def name(self) -> str:
        """Return the placeholder of the next attribute."""
        return self.read(self.left.pop(0) if self.left else "n")

    def number(self) -> str:
        """Return the placeholder of the next number."""
        chosen = next((each for each in self.left if each in ("n", "m")), "n")
        self.left = [each for each in self.left if each != chosen]
        return self.read(chosen)

    def read(self, name: str) -> str:
        """Return a placeholder of this attribute."""
        self.names[f"#u{len(self.names)}"] = name
        return f"#u{len(self.names) - 1}"

    def value(self, value: Item) -> str:
        """Return a placeholder of this value."""
        self.values[f":u{len(self.values)}"] = value
        return f":u{len(self.values) - 1}"
