"""The reference of the Python API, from signatures and docstrings."""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from job_runners import __all__
from job_runners.values import Value

_WIDTH = 88  # of a signature on one line
_EMPTY = inspect.Parameter.empty
# Callers get these, and don't create them.
_GIVEN = ("RunningJob", "InlineRunner", "Hostile", "SavedJobs", "SavedJob")
# Methods that only Job Runners calls.
_INTERNAL = ("of", "reached")
# Each part of the page: a heading, the module to import from, and its names.
_PARTS = (
    ("For the author of a job", "job_runners.work", None),
    (
        "Dispatch in the process of the engine",
        "job_runners.runners",
        None,
    ),
    ("The client", "job_runners", None),
    # JobRunnersBackend, which settings name as a text, can be imported only with Django 6.
    ("Django's tasks", "job_runners.django", ("django_task", "job_options", "max_attempts")),
    (
        "Tests: fixtures",
        "job_runners.testing.plugin",
        ("job_runner", "saved_jobs", "movable_clock"),
    ),
    (
        "Tests: the fixture job_runner",
        "job_runners.testing.job_runner",
        ("InlineRunner", "InternalJobType", "InvalidPayload", "inline_runner"),
    ),
    ("Tests: the fixture movable_clock", "job_runners.testing.movable_clock", ("MovableClock",)),
    (
        "Tests: saved jobs",
        "job_runners.testing.saved_jobs",
        ("SavedJobs", "SavedJob", "assert_succeeded", "assert_failed"),
    ),
    ("Tests: files", "job_runners.testing.files", ("upload", "read_file")),
    ("Tests: hostile", "job_runners.testing.hostile", ("Hostile", "Report")),
)
# The modules of what the client's methods return.
_RETURNED = ("batch_models", "bulk_client", "models", "organization_models", "queue_models")


def page() -> str:
    """Return the page's Markdown."""
    parts = [line for part in _PARTS for line in _part(*part)]
    return "\n".join([*parts, *_returned()]) + "\n"


def _returned() -> Iterator[str]:
    """Yield the classes that the client returns, and that callers don't import."""
    yield "## What the client returns\n\nThe client's methods return these. Don't import them.\n"
    for name in _RETURNED:
        module = importlib.import_module(f"job_runners.client.{name}")
        for value in vars(module).values():
            is_value = inspect.isclass(value) and issubclass(value, Value)
            if is_value and value.__module__ == module.__name__ and value.__name__ not in __all__:
                yield from _entry(value.__name__, value)


def _part(heading: str, module: str, names: tuple[str, ...] | None) -> Iterator[str]:
    found = importlib.import_module(module)
    listed = names or tuple(found.__all__)
    yield f"## {heading}\n\nImport from `{module}`.\n"
    errors = []
    for name in sorted(listed, key=str.lower):
        value = getattr(found, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            errors.append((name, value))
        elif inspect.isclass(value) or callable(value):
            yield from _entry(name, value)
    if errors:
        yield "### Errors\n\n| Error | Meaning |\n|---|---|"
        yield from (f"| `{name}` | {_cell(value)} |" for name, value in errors)
        yield ""


def _entry(name: str, value: Any) -> Iterator[str]:
    """Yield a class with its public methods and properties, or a function."""
    if not inspect.isclass(value):
        yield from _described(f"### {name}", name, getattr(value, "__wrapped__", value))
        return
    if name in _GIVEN:
        yield f"### {name}\n\n{_doc(value)}\n"
    else:
        yield from _described(f"### {name}", name, value)
    if (
        value.__module__.startswith(("job_runners.work", "job_runners.store"))
        and name not in _GIVEN
    ):
        return  # its methods are the engine's
    for member, attribute in inspect.getmembers_static(value):
        if not _is_ours(member, value):
            continue
        heading = f"#### {name}.{member}"
        if isinstance(attribute, property):
            yield f"{heading}\n\n{_doc(attribute)}\n"
        elif callable(getattr(value, member)):
            yield from _described(heading, f"{name}.{member}", getattr(value, member))


def _is_ours(member: str, owner: type) -> bool:
    """Return whether a class of ours defines this public member, with a docstring."""
    ours = [each for each in owner.__mro__ if each.__module__.startswith("job_runners")]
    defined = any(member in vars(each) for each in ours)
    is_public = not member.startswith("_") and member not in _INTERNAL
    return is_public and defined and bool(inspect.getdoc(getattr(owner, member)))


def _described(heading: str, name: str, value: Any) -> Iterator[str]:
    yield f"{heading}\n\n```python\n{name}{_signature(value)}\n```\n\n{_doc(value)}\n"


class _Shown(str):
    """A text that a signature shows without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _signature(value: Any) -> str:
    """Return a signature in the form of the code, with a parameter on each line if it is long."""
    signature = inspect.signature(value)
    parameters = [
        each.replace(annotation=_annotation(each.annotation), default=_default(each.default))
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    returned = _annotation(signature.return_annotation)
    signature = signature.replace(
        parameters=parameters, return_annotation=_EMPTY if returned == "None" else returned
    )
    if sys.version_info >= (3, 13):
        return signature.format(max_width=_WIDTH)
    return str(signature)


def _annotation(annotation: Any) -> Any:
    """Return the text of an annotation without quotes and modules."""
    if annotation is _EMPTY:
        return annotation
    bare = _bare(annotation)
    text = bare if isinstance(bare, str) else inspect.formatannotation(bare)
    return _Shown(re.sub(r"\b(?:[a-z_]+\.)+([A-Z]\w*)|~_", r"\1", text))


def _bare(annotation: Any) -> Any:
    """Return an annotation without what pydantic checks, such as the length of a text."""
    if get_origin(annotation) is Annotated:
        return _bare(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_bare, get_args(annotation)))
    return annotation


def _default(default: Any) -> Any:
    """Return a default, or an ellipsis for one that has no short text."""
    return _Shown("...") if repr(default).startswith("<") and default is not _EMPTY else default


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def _cell(value: Any) -> str:
    first, *_ = _doc(value).split("\n\n")
    return " ".join(first.split()).replace("|", "\\|")
