"""Frozen values like those of `@dataclass(frozen=True)`, but faster to import.

The module `dataclasses` imports `inspect` and compiles methods for each class. That took a third of
the client's import time, and a fiftieth of a function's cold start. Subclasses of Value share their
methods instead. The functions `fields`, `asdict` and `replace` of `dataclasses` accept instances
of these classes.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

REQUIRED = object()  # stands for the default of a field that has none


class _Field:
    """A field's default and options, and its type once the class is complete."""

    __slots__ = ("compare", "default", "default_factory", "repr", "type")

    def __init__(
        self,
        default: Any = REQUIRED,
        default_factory: Callable[[], Any] | None = None,
        repr: bool = True,
        compare: bool = True,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare
        self.type: Any = None


def field(
    *,
    default: Any = REQUIRED,
    default_factory: Callable[[], Any] | None = None,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """Return the options of a field, like `dataclasses.field`."""
    return _Field(default, default_factory, repr, compare)


class _DataclassAttribute:
    """An attribute that dataclasses have.

    When it is read, a real dataclass with the same fields is made, and its value is returned.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, _: object, owner: Any) -> Any:
        from inspect import signature

        dataclass = _as_dataclass(owner)
        if self._name == "__signature__":
            return signature(dataclass)
        return getattr(dataclass, self._name)


@cache
def _as_dataclass(value: Any) -> type:
    """Return a dataclass with the same fields as a subclass of Value."""
    import dataclasses

    fields = []
    for name, own in value.__value_fields__.items():
        default: dict[str, Any] = {}
        if own.default_factory is not None:
            default = {"default_factory": own.default_factory}
        elif own.default is not REQUIRED:
            default = {"default": own.default}
        is_kw_only = name not in value.__match_args__
        dataclass_field = dataclasses.field(
            repr=own.repr, compare=own.compare, kw_only=is_kw_only, **default
        )
        fields.append((name, own.type, dataclass_field))
    return dataclasses.make_dataclass(value.__name__, fields, frozen=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """The base class of frozen values. The annotations of a subclass are its fields."""

    __match_args__: ClassVar[tuple[str, ...]] = ()  # the fields that may be positional arguments
    __value_fields__: ClassVar[dict[str, _Field]] = {}
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Any]]
    else:
        __dataclass_fields__ = _DataclassAttribute()
        __dataclass_params__ = _DataclassAttribute()
        __signature__ = _DataclassAttribute()

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        new_fields = {}
        for name, annotation in cls.__annotations__.items():
            if getattr(annotation, "__origin__", None) is not ClassVar:
                new_fields[name] = cls._make_field(name)
                new_fields[name].type = annotation
        cls.__value_fields__ = {**cls.__value_fields__, **new_fields}
        if not kw_only:
            names = dict.fromkeys((*cls.__match_args__, *new_fields))
            # mypy declares this attribute itself, with the same meaning.
            cls.__match_args__ = tuple(names)  # type: ignore[misc]

    @classmethod
    def _make_field(cls, name: str) -> _Field:
        """Return the field with this name.

        In the class, replace a call of `field` by its default, or remove it if it has no default.
        """
        attribute = cls.__dict__.get(name, REQUIRED)
        if not isinstance(attribute, _Field):
            return _Field(default=attribute)
        if attribute.default is REQUIRED:
            delattr(cls, name)
        else:
            setattr(cls, name, attribute.default)
        return attribute

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = self.__value_fields__
        positional_names = self.__match_args__
        if len(args) > len(positional_names):
            count = len(positional_names)
            raise TypeError(f"{_class_name(self)} takes {count} positional arguments")
        arguments = dict(zip(positional_names, args, strict=False))
        for name in kwargs:
            if name in arguments:
                raise TypeError(f"{_class_name(self)}: the argument {name!r} is given twice")
            if name not in fields:
                hint = _closest_names_hint(name, fields)
                raise TypeError(f"{_class_name(self)}: the argument {name!r} is unknown{hint}")
        arguments |= kwargs
        values = self.__dict__  # because __setattr__ refuses all assignments
        for name, own in fields.items():
            if name in arguments:
                values[name] = arguments[name]
            elif own.default_factory is not None:
                values[name] = own.default_factory()
            elif own.default is not REQUIRED:
                values[name] = own.default
            else:
                raise TypeError(f"{_class_name(self)}: the argument {name!r} is missing")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Raise an error for invalid values. Subclasses override this."""

    def __repr__(self) -> str:
        shown_names = [name for name, own in self.__value_fields__.items() if own.repr]
        values = [f"{name}={getattr(self, name)!r}" for name in shown_names]
        return f"{_class_name(self)}({', '.join(values)})"

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._compared_values() == other._compared_values()

    def __hash__(self) -> int:
        return hash(self._compared_values())

    def __setattr__(self, name: str, value: object) -> None:
        _refuse("assign to", name)

    def __delattr__(self, name: str) -> None:
        _refuse("delete", name)

    def __replace__(self, /, **changes: Any) -> Self:
        values = {name: getattr(self, name) for name in self.__value_fields__}
        return type(self)(**{**values, **changes})

    def _compared_values(self) -> tuple[Any, ...]:
        fields = self.__value_fields__.items()
        return tuple(getattr(self, name) for name, own in fields if own.compare)


def _class_name(value: Value) -> str:
    return type(value).__qualname__


def _closest_names_hint(name: str, fields: dict[str, _Field]) -> str:
    from difflib import get_close_matches  # imported here because only this error needs it

    nearest = get_close_matches(name, list(fields), n=2)
    return f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""


def _refuse(action: str, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot {action} field {name!r}")
