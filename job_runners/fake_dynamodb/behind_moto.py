"""Keep the items of moto's DynamoDB tables in our own database.

Moto has the tables' names, keys and indexes, and our database has their items. If only moto can
handle a request, the items that the request may touch are lent to moto: they are moved to its table
for the time of the request.
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
# An attribute of moto's backend has our state, so a reset of moto also resets our state.
_ATTRIBUTE = "_in_memory"


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
        """Create our table with the keys, the indexes and the items of moto's.

        Raises Unsupported.
        """
        moto_table = self._backend.tables.get(name)
        table = self.tables[name] = _empty_table(name, moto_table)
        for item in moto_table.all_items():
            attributes = _attributes(item)
            table.put(table.key_of(attributes), Item(attributes))
        moto_table.items.clear()
        return table

    def find_all(self) -> list[str]:
        """Return the names of all tables that we support."""
        for name in self._backend.tables:
            with suppress(Unsupported):
                self.find(name)
        return list(self.tables)


def _backend() -> Any:
    return dynamodb_backends[ACCOUNT][REGION]


def _state() -> _State:
    backend = _backend()
    state: _State | None = vars(backend).get(_ATTRIBUTE)
    if state is None:
        state = _State(backend)
        setattr(backend, _ATTRIBUTE, state)
    return state


def _empty_table(name: str, moto_table: Any) -> Table:
    """Return an empty table with the keys and indexes of moto's. Raises Unsupported."""
    if moto_table is None or moto_table.indexes or moto_table.stream_shard is not None:
        raise Unsupported  # there is no such table, or it has local indexes or a stream
    keys = _key_names(moto_table.schema)
    kinds = {
        attribute["AttributeName"]: attribute["AttributeType"] for attribute in moto_table.attr
    }
    indexes = {}
    for index in moto_table.global_indexes or ():
        index_keys = _key_names(index.schema)
        projection = index.projection or {}
        projected = None  # all attributes
        if projection.get("ProjectionType", "ALL") != "ALL":
            others = projection.get("NonKeyAttributes", [])
            projected = frozenset([*keys, *index_keys, *others])
        indexes[index.name] = index_keys, projected
        if len(index_keys) > 2:
            raise Unsupported
    if len(keys) > 2:
        raise Unsupported
    return Table(name, keys, kinds, indexes)


def _key_names(schema: list[dict[str, str]]) -> tuple[str, ...]:
    """Return the names of the partition key and of the sort key, if there is one."""
    hash_first = sorted(schema, key=lambda key: key["KeyType"])  # HASH before RANGE
    return tuple(key["AttributeName"] for key in hash_first)


@contextmanager
def lend_items(operation: str, call: Call) -> Iterator[None]:
    """Lend moto the items that a request may touch in this block, and take them back after it."""
    state, backend = _state(), _backend()
    with state.database.locked():
        lent = _find_keys(operation, call)
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


def _lend(table: Table, keys: Any, moto_table: Any) -> None:
    moto_table.items.clear()
    for key in keys:
        item = table.items.get(key)
        if item is None:
            continue
        parts = [DynamoType(item.attributes[name]) for name in table.keys]
        moto_item = MotoItem(parts[0], parts[1] if len(parts) > 1 else None, item.attributes)
        if len(parts) > 1:
            moto_table.items[parts[0]][parts[1]] = moto_item
        else:
            moto_table.items[parts[0]] = moto_item


def _take_back(state: _State, name: str, keys: list[Key] | None, moto_table: Any) -> None:
    table = state.tables[name]
    returned = {}
    for item in moto_table.all_items():
        attributes = _attributes(item)
        returned[table.key_of(attributes)] = attributes
    moto_table.items.clear()
    lent_keys = table.items if keys is None else keys
    for key in [*lent_keys, *returned]:
        old_item = table.items.get(key)
        old = old_item.attributes if old_item else None
        new = returned.get(key)
        if old != new:
            state.database.store(table, key, new)


def _attributes(item: Any) -> Attributes:
    return {name: value.to_regular_json() for name, value in item.attrs.items()}


def items_named(operation: str, call: Call) -> Iterator[tuple[str, Attributes]]:
    """Yield the table and the key, or the whole item, of each item that a request names."""
    yield from _PARTS[operation](call)


def _find_keys(operation: str, call: Call) -> dict[str, list[Key] | None]:
    """Return the keys of the items that a request names, by table. None stands for all items."""
    state = _state()
    parts = _PARTS.get(operation)
    if parts is None:
        is_description = operation.startswith(("Describe", "List"))
        return {} if is_description else dict.fromkeys(state.find_all())
    keys: dict[str, list[Key]] = {}
    for name, item in parts(call):
        with suppress(Unsupported):  # moto refuses a wrong table and a wrong key
            table = state.find(name)
            keys.setdefault(name, []).append(table.key_of(item))
    return dict(keys)


def _single_item(call: Call) -> Iterator[tuple[str, Attributes]]:
    yield call["TableName"], call.get("Key") or call.get("Item") or {}


def _transaction_items(call: Call) -> Iterator[tuple[str, Attributes]]:
    for item in call["TransactItems"]:
        for part in item.values():
            yield from _single_item(part)


def _batch_items(call: Call) -> Iterator[tuple[str, Attributes]]:
    for name, request in call["RequestItems"].items():
        if isinstance(request, dict):  # reads
            for key in request["Keys"]:
                yield name, key
        else:
            for write in request:
                for part in write.values():
                    yield name, part.get("Key") or part["Item"]


_PARTS: dict[str, Callable[[Call], Iterator[tuple[str, Attributes]]]] = {
    **dict.fromkeys(("GetItem", "PutItem", "UpdateItem", "DeleteItem"), _single_item),
    **dict.fromkeys(("TransactGetItems", "TransactWriteItems"), _transaction_items),
    **dict.fromkeys(("BatchGetItem", "BatchWriteItem"), _batch_items),
}
