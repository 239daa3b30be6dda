"""Apply a mutation in a process that has already imported the mutated file."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

from tools.mutants.mutation import DoesNotApply, Mutation

_Place = tuple[str, str, int]  # file, qualified name, line


class LiveFunctions:
    """The existing functions of some folders, by the place where each is defined.

    Every mutation is inside a function. So it is enough to replace the function object's code: all
    modules that have imported the function then use the new code. Inner functions are created from
    the new code when the outer function runs.
    """

    def __init__(self, root: Path, folders: tuple[str, ...]) -> None:
        self._root = root
        self._functions: dict[_Place, list[FunctionType]] = {}
        prefixes = tuple(f"{root}/{folder}/" for folder in folders)
        gc.unfreeze()  # get_objects() doesn't list frozen objects
        for value in gc.get_objects():
            if type(value) is FunctionType and value.__code__.co_filename.startswith(prefixes):
                self._functions.setdefault(_place(value.__code__), []).append(value)
        gc.freeze()

    def replace(self, mutation: Mutation) -> None:
        """Give the mutated functions their new code.

        Raises DoesNotApply if no such function exists, although its module is imported.
        """
        file = str(self._root / mutation.file)
        has_replaced = False
        for code in _codes(compile(mutation.source, file, "exec", dont_inherit=True)):
            for function in self._functions.get(_place(code), ()):
                if function.__code__ != code and _can_replace(code, function):
                    function.__code__ = code
                    has_replaced = True
        if not has_replaced and any(
            getattr(module, "__file__", None) == file for module in [*sys.modules.values()]
        ):
            raise DoesNotApply(f"{mutation.name} changes no function that can be found")


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of the functions in a module or a function."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _can_replace(code: CodeType, function: FunctionType) -> bool:
    """Return whether the code can replace the function's code.

    It can't if the two close over different variables. Such a function is defined inside another
    one, which creates it again from the new code.
    """
    return code.co_freevars == function.__code__.co_freevars


def _place(code: CodeType) -> _Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno
