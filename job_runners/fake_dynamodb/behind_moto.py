"""The tables behind moto's DynamoDB. Moto knows their names and keys, and we have their items.

For a request that moto must answer, the items that it may touch are lent to moto.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.dynamo_type import Item as MotoItem

from job_runners.fake_dynamodb.checks import Call
from job_runners.fake_dynamodb.database import Database
from job_runners.fake_dynamodb.expressions import Attributes, Unsupported
from job_runners.fake_dynamodb.tables import Item, Key, Table

ACCOUNT = "123456789012"
REGION = "us-east-1"
_CHANGES_OF_TABLES = ("UpdateTable", "CreateTable")
_ATTRIBUTE = "_in_memory"  # of moto's backend: it forgets this whenever it forgets its tables


def database() -> Database:
    """Return the database of the present moto."""
    return _state().database


def table_names() -> list[str]:
    """Return the names of all tables of the present moto."""
    return _state().find_all()


def create_table(
    name: str,
    attributes: list[dict[str, str]],
    keys: list[dict[str, str]],
    indexes: list[dict[str, Any]],
) -> None:
    """Create an on-demand table. The parts are those of a CreateTable request."""
    _backend().create_table(
        name,
        schema=keys,
        attr=attributes,
        global_indexes=indexes,
        billing_mode="PAY_PER_REQUEST",
        throughput=None,
        indexes=[],
        streams=None,
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )


class _State:
    def __init__(self, backend: Any) -> None:
        self.tables: dict[str, Table] = {}
        self.database = Database(self.find)
        self._backend = backend

    def find(self, name: str) -> Table:
        """Return a table. Raises Unsupported."""
        return self.tables.get(name) or self.describe(name)

    def describe(self, name: str) -> Table:
        """Return a table with the keys, the indexes and the items that moto has. Raises
        Unsupported."""
        theirs = self._backend.tables.get(name)
        table = self.tables[name] = _described(name, theirs)
        for item in theirs.all_items():
            attributes = _attributes(item)
            table.put(table.key_of(attributes), Item(attributes))
        theirs.items.clear()
        return table

    def find_all(self) -> list[str]:
        """Return the names of all tables that are ours."""
        for name in self._backend.tables:
            with suppress(Unsupported):
                self.find(name)
        return list(self.tables)


def _backend() -> Any:
    return dynamodb_backends[ACCOUNT][REGION]


def _state() -> _State:
    backend = _backend()
    found: _State | None = vars(backend).get(_ATTRIBUTE)
    if found is None:
        found = _State(backend)
        setattr(backend, _ATTRIBUTE, found)
    return found


def _described(name: str, theirs: Any) -> Table:
    """Return an empty table with the keys and indexes of moto's. Raises Unsupported."""
    if theirs is None or theirs.indexes or theirs.stream_shard is not None:
        raise Unsupported  # there is no such table, or it has local indexes or a stream
    keys = _names(theirs.schema)
    kinds = {each["AttributeName"]: each["AttributeType"] for each in theirs.attr}
    indexes = {}
    for index in theirs.global_indexes or ():
        names = _names(index.schema)
        projection = index.projection or {}
        more = projection.get("NonKeyAttributes", [])
        is_whole = projection.get("ProjectionType", "ALL") == "ALL"
        indexes[index.name] = names, None if is_whole else frozenset([*keys, *names, *more])
    if any(len(names) > 2 for names in (keys, *(each for each, _ in indexes.values()))):
        raise Unsupported
    return Table(name, keys, kinds, indexes)


def _names(schema: list[dict[str, str]]) -> tuple[str, ...]:
    by_type = sorted(schema, key=lambda each: each["KeyType"])  # HASH before RANGE
    return tuple(each["AttributeName"] for each in by_type)


@contextmanager
def items_of(operation: str, call: Call) -> Iterator[None]:
    """Lend moto the items that a request may touch in this block, and take them back after it."""
    state, backend = _state(), _backend()
    with state.database.locked():
        lent = _touched(operation, call)
        for name, keys in lent.items():
            table = state.tables[name]
            _lend(table, table.items if keys is None else keys, backend.tables[name])
        try:
            yield
        finally:
            for name, keys in lent.items():
                if name not in backend.tables:
                    del state.tables[name]
                elif operation in _CHANGES_OF_TABLES:
                    state.describe(name)
                else:
                    _take_back(state, name, keys, backend.tables[name])


def _lend(table: Table, keys: Any, theirs: Any) -> None:
    theirs.items.clear()
    for key in keys:
        item = table.items.get(key)
        if item is None:
            continue
        parts = [DynamoType(item.attributes[name]) for name in table.keys]
        made = MotoItem(parts[0], parts[1] if len(parts) > 1 else None, item.attributes)
        if len(parts) > 1:
            theirs.items[parts[0]][parts[1]] = made
        else:
            theirs.items[parts[0]] = made


def _take_back(state: _State, name: str, keys: list[Key] | None, theirs: Any) -> None:
    table = state.tables[name]
    found = {}
    for item in theirs.all_items():
        attributes = _attributes(item)
        found[table.key_of(attributes)] = attributes
    theirs.items.clear()
    for key in [*(table.items if keys is None else keys), *found]:
        before = table.items.get(key)
        after = found.get(key)
        if (before.attributes if before else None) != after:
            state.database.store(table, key, after)


def _attributes(item: Any) -> Attributes:
    return {name: value.to_regular_json() for name, value in item.attrs.items()}


def items_named(operation: str, call: Call) -> Iterator[tuple[str, Attributes]]:
    """Yield the table and the key, or the whole item, of each item that a request names."""
    yield from _PARTS[operation](call)


def _touched(operation: str, call: Call) -> dict[str, list[Key] | None]:
    """Return the keys of the items that a request names, by table. None stands for all items."""
    state = _state()
    parts = _PARTS.get(operation)
    if parts is None:
        return dict.fromkeys(state.find_all())
    found: dict[str, list[Key]] = {}
    for name, item in parts(call):
        with suppress(Unsupported):  # moto refuses a wrong table and a wrong key
            table = state.find(name)
            found.setdefault(name, []).append(table.key_of(item))
    return dict(found)


def _single(call: Call) -> Iterator[tuple[str, Attributes]]:
    yield call["TableName"], call.get("Key") or call.get("Item") or {}


def _of_transaction(call: Call) -> Iterator[tuple[str, Attributes]]:
    for each in call["TransactItems"]:
        for part in each.values():
            yield from _single(part)


def _of_batch(call: Call) -> Iterator[tuple[str, Attributes]]:
    for name, asked in call["RequestItems"].items():
        if isinstance(asked, dict):
            for key in asked["Keys"]:
                yield name, key
        else:
            for request in asked:
                for part in request.values():
                    yield name, part.get("Key") or part["Item"]


_PARTS: dict[str, Callable[[Call], Iterator[tuple[str, Attributes]]]] = {
    **dict.fromkeys(("GetItem", "PutItem", "UpdateItem", "DeleteItem"), _single),
    **dict.fromkeys(("TransactGetItems", "TransactWriteItems"), _of_transaction),
    **dict.fromkeys(("BatchGetItem", "BatchWriteItem"), _of_batch),
}
