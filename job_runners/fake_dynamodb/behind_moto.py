"""Keep the items of moto's DynamoDB tables in our own database.

Moto has the names, keys and indexes of the tables, and our database has their items. If only moto
can handle a request, we lend it the items that the request may touch. To lend items means to copy
them into moto's table for the duration of the request. Then the changes are copied back.

Unsupported means that our database doesn't handle a table or a request, so moto must.
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
_TABLE_CHANGES = ("UpdateTable", "CreateTable")
# We keep our state in this attribute of moto's backend, so that a reset of moto resets it too.
_STATE_ATTRIBUTE = "_in_memory"


def database() -> Database:
    """Return the database that belongs to moto's current backend."""
    return _state().database


def table_names() -> list[str]:
    """Return the names of all tables that the database supports."""
    return _state().find_all()


def create_table(
    name: str,
    attributes: list[dict[str, str]],
    keys: list[dict[str, str]],
    indexes: list[dict[str, Any]],
) -> None:
    """Create an on-demand table. The arguments are parts of a CreateTable request."""
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
    """Our tables, for one of moto's backends."""

    def __init__(self, backend: Any) -> None:
        self.tables: dict[str, Table] = {}
        self.database = Database(self.find)
        self._backend = backend

    def find(self, name: str) -> Table:
        """Return a table. Raises Unsupported."""
        return self.tables.get(name) or self.create(name)

    def create(self, name: str) -> Table:
        """Create our copy of one of moto's tables, and move its items to it. Raises Unsupported."""
        moto_table = self._backend.tables.get(name)
        table = self.tables[name] = _empty_table(name, moto_table)
        for item in moto_table.all_items():
            attributes = _attributes(item)
            table.put(table.key_of(attributes), Item(attributes))
        moto_table.items.clear()
        return table

    def find_all(self) -> list[str]:
        """Return the names of all tables that we support. Create those that are new."""
        for name in self._backend.tables:
            with suppress(Unsupported):
                self.find(name)
        return list(self.tables)


def _backend() -> Any:
    return dynamodb_backends[ACCOUNT][REGION]


def _state() -> _State:
    backend = _backend()
    state: _State | None = vars(backend).get(_STATE_ATTRIBUTE)
    if state is None:
        state = _State(backend)
        setattr(backend, _STATE_ATTRIBUTE, state)
    return state


def _empty_table(name: str, moto_table: Any) -> Table:
    """Return an empty table with the keys and indexes of moto's table. Raises Unsupported."""
    if moto_table is None:
        raise Unsupported
    has_local_indexes = bool(moto_table.indexes)
    has_stream = moto_table.stream_shard is not None
    if has_local_indexes or has_stream:
        raise Unsupported
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
    return Table(name, keys, kinds, indexes)


def _key_names(schema: list[dict[str, str]]) -> tuple[str, ...]:
    """Return the names of the partition key and, if there is one, the sort key. Raises
    Unsupported."""
    if len(schema) > 2:
        raise Unsupported
    hash_first = sorted(schema, key=lambda key: key["KeyType"])  # HASH before RANGE
    return tuple(key["AttributeName"] for key in hash_first)


@contextmanager
def lend_items(operation: str, call: Call) -> Iterator[None]:
    """Lend moto the items that a request may touch, while the block runs.

    After the block, our tables have moto's changes, and moto's tables are empty again.
    """
    state = _state()
    backend = _backend()
    with state.database.locked():
        lent_keys = _find_keys(operation, call)
        for name, keys in lent_keys.items():
            table = state.tables[name]
            _lend(table, table.items if keys is None else keys, backend.tables[name])
        try:
            yield
        finally:
            for name, keys in lent_keys.items():
                if name not in backend.tables:  # the request deleted the table
                    del state.tables[name]
                elif operation in _TABLE_CHANGES:
                    state.create(name)
                else:
                    _take_back(state, name, keys, backend.tables[name])


def _lend(table: Table, keys: Any, moto_table: Any) -> None:
    """Copy the items with these keys into moto's table."""
    moto_table.items.clear()
    for key in keys:
        item = table.items.get(key)
        if item is None:
            continue
        hash_key, *sort_keys = [DynamoType(item.attributes[name]) for name in table.keys]
        if sort_keys:
            (sort_key,) = sort_keys
            moto_table.items[hash_key][sort_key] = MotoItem(hash_key, sort_key, item.attributes)
        else:
            moto_table.items[hash_key] = MotoItem(hash_key, None, item.attributes)


def _take_back(state: _State, name: str, keys: list[Key] | None, moto_table: Any) -> None:
    """Empty moto's table, and store the items that moto created, changed or deleted."""
    table = state.tables[name]
    returned = {}
    for item in moto_table.all_items():
        attributes = _attributes(item)
        returned[table.key_of(attributes)] = attributes
    moto_table.items.clear()
    lent_keys = table.items if keys is None else keys
    for key in [*lent_keys, *returned]:
        item = table.items.get(key)
        before = item.attributes if item else None
        after = returned.get(key)
        if before != after:
            state.database.store(table, key, after)


def _attributes(item: Any) -> Attributes:
    return {name: value.to_regular_json() for name, value in item.attrs.items()}


def items_named(operation: str, call: Call) -> Iterator[tuple[str, Attributes]]:
    """Yield each item that a request names: its table, and its key or the whole item."""
    yield from _NAMED_ITEMS[operation](call)


def _find_keys(operation: str, call: Call) -> dict[str, list[Key] | None]:
    """Return the keys of the items that a request may touch, by table. None stands for all keys.

    A request that names no items may touch any item, unless it only describes or lists tables.
    """
    state = _state()
    named_items = _NAMED_ITEMS.get(operation)
    if named_items is None:
        is_description = operation.startswith(("Describe", "List"))
        return {} if is_description else dict.fromkeys(state.find_all())
    keys: dict[str, list[Key]] = {}
    for name, item in named_items(call):
        with suppress(Unsupported):  # ignore a wrong table or key, because moto will refuse it
            table = state.find(name)
            keys.setdefault(name, []).append(table.key_of(item))
    return dict(keys)


def _single_item(call: Call) -> Iterator[tuple[str, Attributes]]:
    yield call["TableName"], call.get("Key") or call.get("Item") or {}


def _transaction_items(call: Call) -> Iterator[tuple[str, Attributes]]:
    for item in call["TransactItems"]:
        for write_or_read in item.values():
            yield from _single_item(write_or_read)


def _batch_items(call: Call) -> Iterator[tuple[str, Attributes]]:
    for name, request in call["RequestItems"].items():
        if isinstance(request, dict):  # it reads items
            for key in request["Keys"]:
                yield name, key
        else:
            for write in request:
                for fields in write.values():
                    yield name, fields.get("Key") or fields["Item"]


_NAMED_ITEMS: dict[str, Callable[[Call], Iterator[tuple[str, Attributes]]]] = {
    **dict.fromkeys(("GetItem", "PutItem", "UpdateItem", "DeleteItem"), _single_item),
    **dict.fromkeys(("TransactGetItems", "TransactWriteItems"), _transaction_items),
    **dict.fromkeys(("BatchGetItem", "BatchWriteItem"), _batch_items),
}
