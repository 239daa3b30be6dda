"""The base of every pynamodb model here: its table's name from the settings, one shared client."""

from enum import StrEnum
from typing import Any, ClassVar, TypeVar, cast

from pynamodb.attributes import Attribute
from pynamodb.connection import Connection
from pynamodb.connection.table import TableConnection
from pynamodb.constants import NUMBER, STRING
from pynamodb.models import Model

from aws import clients
from settings import required

_S = TypeVar("_S", bound=StrEnum)
_T = TypeVar("_T")


class Table(Model):
    """A model whose table is named by the environment variable in `table_setting`.

    pynamodb would read the name at import and build a session and a client for each model class,
    75 to 200 ms each. Here the name is read at first use and all models share the one client.
    """

    table_setting: ClassVar[str]

    @classmethod
    def connection(cls) -> Connection:
        """Return what transactions of several tables go through: it is the same for all."""
        return cls._get_connection().connection

    @classmethod
    def _get_connection(cls) -> TableConnection:
        cls.Meta.table_name = required(cls.table_setting, cls.__name__)
        table = super()._get_connection()
        table.connection._client = clients.client("dynamodb")
        return table


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
    """Return an attribute that a row may lack: pynamodb's `null=True` is not in its type."""
    attribute.null = True
    return cast(Attribute[_T | None], attribute)
