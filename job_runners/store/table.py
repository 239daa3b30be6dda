"""The base classes of all pynamodb models, and the types of their attributes.

All models share one client, and read the names of their tables from the settings.

They also build expressions in half the time that pynamodb takes. An expression contains *paths*,
the names of attributes in DynamoDB. At each use of an attribute, pynamodb builds its path and
parses it with a regular expression. The writes of a job's start and end use thirty attributes. So
here, each path is built only once. Attributes inside a map are not supported.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from botocore.exceptions import ClientError
from pynamodb.attributes import Attribute
from pynamodb.connection import Connection
from pynamodb.connection.base import MetaTable
from pynamodb.connection.table import TableConnection
from pynamodb.constants import NULL, NUMBER, STRING
from pynamodb.exceptions import AttributeNullError, DeleteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value, _Operand
from pynamodb.expressions.update import Action, RemoveAction, SetAction
from pynamodb.models import MetaModel, Model

from job_runners import clock
from job_runners.aws import clients
from job_runners.settings import required

_S = TypeVar("_S", bound=StrEnum)
_T = TypeVar("_T")
_Names = dict[str, str]  # an expression's attribute names and their placeholders
_Values = dict[str, Any]  # an expression's placeholders of values, and the values

_BATCH_SIZE = 25  # the maximum number of items that one call can delete
_MAX_DELETE_CALLS = 8  # per batch: one call may delete only a part of it if DynamoDB is busy


class _TableMeta(MetaModel):
    """The metaclass of the models. It replaces each attribute of a class by the attribute's path.

    For example, `JobRequest.status` is a path, which builds actions and conditions. A record keeps
    its values in its `__dict__`, so `row.status` is a plain value that is read without a call.
    """

    def __init__(self, name: str, bases: Any, namespace: Any, **kwargs: Any) -> None:
        super().__init__(name, bases, namespace, **kwargs)
        for attribute_name, attribute in self._attributes.items():
            setattr(self, attribute_name, _TopLevelPath(attribute))


class Table(Model, metaclass=_TableMeta):
    """A model whose table is named by the environment variable in `table_setting`.

    pynamodb would read the name at import. It would also build a session and a client for each
    model class, which takes 75 to 200 ms. Here, the name is read at first use, and all models share
    one client. Defaults of attributes must be plain values. A model can't have subclasses.

    Each model states what `job-runners erase` does with an organization's items:

    - If an organization's items have a DynamoDB partition of their own, `partition_of` returns it.
      The command deletes this partition, and reports its items as `counted_as`.
    - Otherwise, `how_erased` tells maintainers how the items are erased, or why they stay.
    """

    table_setting: ClassVar[str]
    partition_of: ClassVar["staticmethod[[str], str] | None"] = None
    counted_as: ClassVar[str]
    how_erased: ClassVar[str]

    if not TYPE_CHECKING:  # type checkers use pynamodb's signatures, which know the attributes

        def __init__(self, hash_key: Any = None, range_key: Any = None, **values: Any) -> None:
            unknown = values.keys() - self.get_attributes().keys()
            if unknown:
                raise ValueError(f"{type(self).__name__} has no attribute {min(unknown)!r}")
            self.__dict__ = _defaults(type(self)) | values
            if hash_key is not None:
                setattr(self, self._hash_keyname, hash_key)
            if range_key is not None:
                setattr(self, self._range_keyname, range_key)

        @property
        def attribute_values(self) -> dict[str, Any]:
            """Return the attributes' values, without those that are None."""
            values = {name: self.__dict__[name] for name in self.get_attributes()}
            return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def _instantiate(cls, attribute_values: dict[str, dict[str, Any]]) -> Any:
        record = cls.__new__(cls)
        record.deserialize(attribute_values)
        return record

    @classmethod
    def connection(cls) -> Connection:
        """Return the connection for transactions across tables."""
        return cls._get_connection().connection

    @classmethod
    def _get_connection(cls) -> TableConnection:
        """Return the table's connection, with the current table name and the shared client.

        pynamodb calls this before each request.
        """
        cls.Meta.table_name = required(cls.table_setting, cls.__name__)
        table = super()._get_connection()
        if not isinstance(table.connection, _DirectConnection):
            table.connection = _DirectConnection(table.connection.get_meta_table(table.table_name))
        table.connection._client = clients.client("dynamodb")
        return table

    @classmethod
    def find(cls, hash_key: Any, range_key: Any = None) -> Self | None:
        """Read an item consistently. Return None if there is none."""
        try:
            return cls.get(hash_key, range_key, consistent_read=True)
        except cls.DoesNotExist:
            return None

    @classmethod
    def count_up_to(
        cls,
        limit: int,
        hash_key: str,
        condition: Condition | None,
        *,
        index_name: str | None = None,
        consistent: bool = False,
    ) -> int:
        """Count the items of a DynamoDB partition whose sort keys meet a condition, up to `limit`.

        Unless the read is `consistent`, the latest changes may be missing. pynamodb's own `count`
        would read beyond the limit, because it applies it to each page.
        """
        count = 0
        start = None
        while count < limit:
            page = cls._get_connection().query(
                hash_key,
                range_key_condition=condition,
                index_name=index_name,
                select="COUNT",
                limit=limit - count,
                consistent_read=consistent,
                exclusive_start_key=start,
            )
            count += page["Count"]
            start = page.get("LastEvaluatedKey")
            if start is None:
                break
        return count

    @classmethod
    def delete_partitions(cls, partitions: Iterable[str]) -> int:
        """Delete all items with these partition keys, and return their number.

        The table must have a sort key.
        """
        deleted = 0
        for partition in partitions:
            items: Iterator[Any] = iter(
                cls.query(partition, attributes_to_get=["pk", "sk"], consistent_read=True)
            )
            while keys := [item._get_keys() for item in islice(items, _BATCH_SIZE)]:
                cls._delete_batch(keys)
                deleted += len(keys)
        return deleted

    @classmethod
    def _delete_batch(cls, keys: list[Any]) -> None:
        """Delete up to _BATCH_SIZE items, with pauses while DynamoDB is busy.

        pynamodb's own batches don't pause.
        """
        for attempt in range(_MAX_DELETE_CALLS):
            response = cls._get_connection().batch_write_item(delete_items=keys)
            unprocessed = response.get("UnprocessedItems", {}).get(cls.Meta.table_name, [])
            keys = [request["DeleteRequest"]["Key"] for request in unprocessed]
            if not keys:
                return
            clock.sleep(0.1 * 2**attempt)
        # DynamoDB reports no error for a batch. Raise the one that it returns for single writes.
        error: Any = {"Code": "ThrottlingException", "Message": "DynamoDB deleted only some items"}
        raise DeleteError(cause=ClientError({"Error": error}, "BatchWriteItem"))

    def serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Return this record as a DynamoDB item, in a third of pynamodb's time.

        Models must not have map or list attributes.
        """
        item = {}
        values = self.__dict__
        for name, attribute in self.get_attributes().items():
            value = values[name]
            serialized = None if value is None else attribute.serialize(value)
            if serialized is not None:
                item[attribute.attr_name] = {attribute.attr_type: serialized}
            elif null_check and not attribute.null:
                raise AttributeNullError(name)
        return item

    def deserialize(self, attribute_values: dict[str, dict[str, Any]]) -> None:
        """Set the values from a DynamoDB item, with defaults for missing attributes.

        Models must not have map or list attributes, nor attributes that are stored under another
        name than their own.
        """
        attributes = self.get_attributes()
        values = _defaults(type(self)).copy()
        for name, stored in attribute_values.items():
            attribute = attributes.get(name)
            if attribute is not None and NULL not in stored:
                value = stored.get(attribute.attr_type)
                if value is None:  # stored with another DynamoDB type, which some attributes accept
                    value = attribute.get_value(stored)
                values[name] = attribute.deserialize(value)
        self.__dict__ = values


class CoordinationItem(Table):
    """The base class of the models of the coordination table."""

    class Meta:
        table_name = ""  # set before each use, from `table_setting`

    table_setting = "COORDINATION_TABLE_NAME"


@cache
def _defaults(model: type[Table]) -> dict[str, Any]:
    """Return the values of a new record: each attribute's default, or None."""
    return {name: attribute.default for name, attribute in model.get_attributes().items()}


class _DirectConnection(Connection):
    """A connection that omits the consumed capacity and pynamodb's signals, which aren't used."""

    def __init__(self, meta_table: MetaTable) -> None:
        super().__init__()
        self.add_meta_table(meta_table)

    def dispatch(self, operation_name: str, operation_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Call an operation and return its response."""
        return self._make_api_call(operation_name, operation_kwargs)


class Integer(Attribute[int]):
    """A whole number. pynamodb's own number attribute is typed as float."""

    attr_type = NUMBER

    def serialize(self, value: Any) -> str:
        return str(int(value))

    def deserialize(self, value: Any) -> int:
        return int(value)


class Enumerated(Attribute[_S]):
    """A member of a StrEnum, stored as its value."""

    attr_type = STRING

    def __init__(self, enum: type[_S], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.enum = enum

    def serialize(self, value: Any) -> str:
        return str(self.enum(value))

    def deserialize(self, value: Any) -> _S:
        return self.enum(value)


def nullable(attribute: Attribute[_T]) -> Attribute[_T | None]:
    """Make an attribute optional, and its type too, which pynamodb's `null=True` doesn't change."""
    attribute.null = True
    return cast(Attribute[_T | None], attribute)


def set_or_remove(attribute: Any, value: object) -> Action:
    """Return the update action that sets an attribute, or removes it if the value is None."""
    action: Action = attribute.remove() if value is None else attribute.set(value)
    return action


class _TopLevelPath(Path):
    """The path of an attribute that isn't inside a map."""

    attribute: Attribute[Any]

    def __init__(self, attribute: Attribute[Any]) -> None:
        self.attribute = attribute
        self.attr_type = attribute.attr_type
        self.values = ([attribute.attr_name],)  # pynamodb's property `path` reads the first value

    def serialize(self, names: _Names, _values: _Values) -> str:
        """Return the placeholder of the attribute's name."""
        (name,) = self.path
        return names.setdefault(name, f"#{len(names)}")

    def set(self, value: Any) -> Any:
        """Return the action that sets the attribute."""
        return _SetAction(self, self._to_operand(value))

    def remove(self) -> Any:
        """Return the action that removes the attribute."""
        return self._removal

    @cached_property
    def _removal(self) -> "_RemoveAction":
        return _RemoveAction(self)

    def _to_operand(self, value: Any) -> Any:
        if value is None or isinstance(value, _Operand):
            return super()._to_operand(value)
        return _SerializedValue(value, self.attribute)


class _SerializedValue(Value):
    """A value in an expression, serialized by its attribute.

    pynamodb would not serialize a dict such as {"N": "1"}, because it looks as if it were
    serialized. An attribute that stores JSON would then store a number.
    """

    def __init__(self, value: Any, attribute: Attribute[Any]) -> None:
        self.attr_type = attribute.attr_type
        self.values = ({self.attr_type: attribute.serialize(value)},)

    def serialize(self, _names: _Names, values: _Values) -> str:
        """Return a placeholder for the value."""
        placeholder = f":{len(values)}"
        values[placeholder] = self.value
        return placeholder


class _SetAction(SetAction):
    def __init__(self, path: _TopLevelPath, value: Any) -> None:
        self.values = (path, value)

    def serialize(self, names: _Names, values: _Values) -> str:
        """Return the assignment for the expression."""
        path, value = self.values
        return f"{path.serialize(names, values)} = {value.serialize(names, values)}"


class _RemoveAction(RemoveAction):
    def serialize(self, names: _Names, values: _Values) -> str:
        """Return the placeholder of the attribute's name."""
        (path,) = self.values
        return path.serialize(names, values)
