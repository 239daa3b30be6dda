"""The base class of all pynamodb models: table names from the settings, and one shared client."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any, ClassVar, TypeVar, cast

from botocore.exceptions import ClientError
from pynamodb.attributes import Attribute
from pynamodb.connection import Connection
from pynamodb.connection.base import MetaTable
from pynamodb.connection.table import TableConnection
from pynamodb.constants import NULL, NUMBER, STRING
from pynamodb.exceptions import AttributeNullError, DeleteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from job_runners import clock
from job_runners.aws import clients
from job_runners.settings import required
from job_runners.store.attributes import TopLevelAttribute

_S = TypeVar("_S", bound=StrEnum)
_T = TypeVar("_T")

_BATCH = 25  # items that one call can delete
_DELETE_TRIES = 8  # the most calls that are made until DynamoDB has deleted all items of a batch


class Table(Model):
    """A model whose table is named by the environment variable in `table_setting`.

    pynamodb would read the name at import. For each model class, it would also build a session and
    a client, which takes 75 to 200 ms. Here the name is read at first use, and all models share
    one client.
    """

    table_setting: ClassVar[str]

    @classmethod
    def connection(cls) -> Connection:
        """Return the connection for transactions across tables. It is the same for all tables."""
        return cls._get_connection().connection

    @classmethod
    def _get_connection(cls) -> TableConnection:
        cls.Meta.table_name = required(cls.table_setting, cls.__name__)
        table = super()._get_connection()
        if not isinstance(table.connection, _DirectConnection):
            table.connection = _DirectConnection(table.connection.get_meta_table(table.table_name))
        table.connection._client = clients.client("dynamodb")
        return table

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
        requests all pages, because its limit applies only to each page.
        """
        found, start = 0, None
        while found < limit:
            page = cls._get_connection().query(
                hash_key,
                range_key_condition=condition,
                index_name=index_name,
                select="COUNT",
                limit=limit - found,
                consistent_read=consistent,
                exclusive_start_key=start,
            )
            found += page["Count"]
            start = page.get("LastEvaluatedKey")
            if start is None:
                break
        return found

    @classmethod
    def delete_partitions(cls, partitions: Iterable[str]) -> int:
        """Delete every item of these DynamoDB partitions of a table with a sort key.

        Return the number of deleted items.
        """
        deleted = 0
        for partition in partitions:
            keys = ["pk", "sk"]
            found: Iterator[Any] = iter(
                cls.query(partition, attributes_to_get=keys, consistent_read=True)
            )
            while batch := [item._get_keys() for item in islice(found, _BATCH)]:
                cls._delete_batch(batch)
                deleted += len(batch)
        return deleted

    @classmethod
    def _delete_batch(cls, keys: list[Any]) -> None:
        """Delete up to _BATCH items. pynamodb's own batches don't pause when DynamoDB is busy."""
        for attempt in range(_DELETE_TRIES):
            answer = cls._get_connection().batch_write_item(delete_items=keys)
            unprocessed = answer.get("UnprocessedItems", {}).get(cls.Meta.table_name, [])
            keys = [each["DeleteRequest"]["Key"] for each in unprocessed]
            if not keys:
                return
            clock.sleep(0.1 * 2**attempt)
        busy: Any = {"Code": "ThrottlingException", "Message": "DynamoDB deleted only some items"}
        raise DeleteError(cause=ClientError({"Error": busy}, "BatchWriteItem"))

    def _set_defaults(self, _user_instantiated: bool = True) -> None:
        """Give a new model the defaults of its attributes, which must be plain values."""
        self.attribute_values = _defaults(type(self)).copy()

    def serialize(self, null_check: bool = True) -> dict[str, dict[str, Any]]:
        """Return this model as a DynamoDB item.

        The result is the same as pynamodb's, in a third of the time. Models must not have map or
        list attributes.
        """
        item, values = {}, self.attribute_values
        for name, attribute in self.get_attributes().items():
            value = values.get(name)
            serialized = None if value is None else attribute.serialize(value)
            if serialized is not None:
                item[attribute.attr_name] = {attribute.attr_type: serialized}
            elif null_check and not attribute.null:
                raise AttributeNullError(name)
        return item

    def deserialize(self, attribute_values: dict[str, dict[str, Any]]) -> None:
        """Set the values from a DynamoDB item, with defaults for missing attributes.

        Models must not have map or list attributes, nor attributes that are stored under another
        name.
        """
        attributes = self.get_attributes()
        values = _defaults(type(self)).copy()
        for name, stored in attribute_values.items():
            attribute = attributes.get(name)
            if attribute is not None and NULL not in stored:
                value = stored.get(attribute.attr_type)
                values[name] = attribute.deserialize(
                    attribute.get_value(stored) if value is None else value
                )
        self.attribute_values = values


@cache
def _defaults(model: type[Table]) -> dict[str, Any]:
    """Return the default values of a model's attributes."""
    return {
        name: attribute.default
        for name, attribute in model.get_attributes().items()
        if attribute.default is not None
    }


class _DirectConnection(Connection):
    """A connection that doesn't request the consumed capacity or send pynamodb's signals.

    This project uses neither.
    """

    def __init__(self, meta_table: MetaTable) -> None:
        super().__init__()
        self.add_meta_table(meta_table)

    def dispatch(self, operation_name: str, operation_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Call an operation and return its response."""
        return self._make_api_call(operation_name, operation_kwargs)


class Integer(TopLevelAttribute[int]):
    """A whole number. pynamodb's own number attribute is typed as float."""

    attr_type = NUMBER

    def serialize(self, value: Any) -> str:
        return str(int(value))

    def deserialize(self, value: Any) -> int:
        return int(value)


class Enumerated(TopLevelAttribute[_S]):
    """A member of a StrEnum, stored as its value."""

    attr_type = STRING

    def __init__(self, enum: type[_S], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.enum = enum

    def serialize(self, value: Any) -> str:
        return str(self.enum(value))

    def deserialize(self, value: Any) -> _S:
        return self.enum(value)


def set_or_remove(attribute: Any, value: object) -> Action:
    """Return the update action that sets an attribute, or removes it if the value is None."""
    action: Action = attribute.remove() if value is None else attribute.set(value)
    return action


def nullable(attribute: Attribute[_T]) -> Attribute[_T | None]:
    """Make an attribute optional. Unlike pynamodb's `null=True`, also make its type optional."""
    attribute.null = True
    return cast(Attribute[_T | None], attribute)
