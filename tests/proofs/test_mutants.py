"""The mutation run: what it makes of code, and that its lists still fit the engine."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from tools.mutants.generated import generate
from tools.mutants.live import LiveFunctions
from tools.mutants.mutation import DoesNotApply, Mutation, replace_text
from tools.mutants.noticing import Noticing, read_last, write_last

SAMPLE = """
def hold(row: Row | None) -> bool:
    with defer_alarm():
        if row is None or (row.late and not row.old):
            return False
    try:
        write(row, (Row.status == row.status) & (Row.token == row.token) & other())
    except (KeyError, ValueError):
        return row.status in ("queued", "running")
    except TypeError:
        raise
    return row.due > 5
"""


def made_of(source: str, folder: Path) -> dict[str, str]:
    """Return what each mutation is called, and the one line that it changes, as it is then."""
    (folder / "sample.py").write_text(source)
    found = {}
    for mutation in generate(folder, "sample.py"):
        ast.parse(mutation.source)
        changed = set(mutation.source.splitlines()) - set(source.splitlines())
        found[mutation.what] = changed.pop().strip()
        assert not changed
    return found


def test_each_part_of_each_condition_is_left_out(tmp_path: Path) -> None:
    assert made_of(SAMPLE, tmp_path) == {
        "without `or row is None`": "if ((row.late and (not row.old))):",
        "without `or row.late and (not row.old)`": "if ((row is None)):",
        "without `and row.late`": "if row is None or (((not row.old))):",
        "without `and not row.old`": "if row is None or (((row.late))):",
        "without `& Row.status == row.status`": (
            "write(row, ((Row.token == row.token) & (other())))"
        ),
        "without `& Row.token == row.token`": (
            "write(row, ((Row.status == row.status) & (other())))"
        ),
        "without `& other()`": (
            "write(row, ((Row.status == row.status) & (Row.token == row.token)))"
        ),
        "without `, KeyError`": "except ((ValueError),):",
        "without `, ValueError`": "except ((KeyError),):",
        "True for `row.status in ('queued', 'running')`": "return True",
        "False for `row.status in ('queued', 'running')`": "return False",
        "without `, 'queued'`": "return row.status in (('running'),)",
        "without `, 'running'`": "return row.status in (('queued'),)",
        "no except TypeError": "except ():",
        "True for `row.due > 5`": "return True",
        "False for `row.due > 5`": "return False",
    }


def test_an_answer_is_lost_of_each_write_that_looks_whether_it_was_applied(tmp_path: Path) -> None:
    source = "def end(row):\n    write(row, already_applied={})\n"
    lost = "None"
    assert made_of(source.format("shows(row)"), tmp_path) == {
        f"already_applied: {lost}": f"write(row, already_applied={lost})"
    }
    assert f"already_applied: {lost}" not in made_of(source.format(lost), tmp_path)


def test_the_same_change_in_two_places_has_two_names(tmp_path: Path) -> None:
    twice = "def f(a):\n    if a:\n        pass\n    x = 1 if a else 2\n"
    names = [each.name for each in _generated(twice, tmp_path)]
    assert len(names) == len(set(names)) == 4


def test_loops_and_async_functions_have_conditions_too(tmp_path: Path) -> None:
    """A loop that is always gone round would most often not end: it is left out alone."""
    source = """
async def wait(queue: Queue) -> None:
    while queue.size > 3:
        if await queue.get():
            pass
    while queue.open and queue.late:
        pass
    while True:
        pass
"""
    assert made_of(source, tmp_path) == {
        "False for `queue.size > 3`": "while False:",
        "True for `await queue.get()`": "if True:",
        "False for `await queue.get()`": "if False:",
        "without `and queue.open`": "while ((queue.late)):",
        "without `and queue.late`": "while ((queue.open)):",
        "False for `True`": "while False:",
    }


def test_functions_that_return_nothing_or_a_text_are_no_conditions(tmp_path: Path) -> None:
    source = "def f(a):\n    a(lambda: None, lambda: 'x', lambda: True)\n"
    assert made_of(source, tmp_path) == {
        "False for `True`": "a(lambda: None, lambda: 'x', lambda: False)"
    }


def test_types_are_no_conditions(tmp_path: Path) -> None:
    types = "def f(a):\n    b: int | None = a\n    return cast(Box[int | None], b)\n"
    assert not _generated(types, tmp_path)


def test_a_mutation_that_no_longer_applies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text("def f():\n    one\n    two\n    one\n\nfour\n")

    def change(file: str, find: str) -> tuple[str, tuple[int, int]]:
        made = replace_text(tmp_path, file, find=find, replace="x", function="f", what="w")
        return made.source, made.lines

    assert change("sample.py", "two") == (
        "def f():\n    one\n    x\n    one\n\nfour\n",
        (3, 3),
    )
    unfit = ("sample.py", "one"), ("sample.py", "three"), ("sample.py", "four"), ("gone.py", "one")
    for file, find in unfit:
        with pytest.raises(DoesNotApply, match=r"\.py (has|doesn.t exist)"):
            change(file, find)


def test_a_change_outside_of_functions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come to nothing, for its module is imported once, and before it is changed."""
    (tmp_path / "sampled").mkdir()
    (tmp_path / "sampled/late.py").write_text("LATE = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_module("sampled.late")
    change = Mutation("sampled/late.py", "f", "w", "LATE = 6\n", (1, 1))
    with pytest.raises(DoesNotApply, match="changes no function"):
        LiveFunctions(tmp_path, ("sampled",)).replace(change)


def test_tests_that_noticed_the_like_come_first_and_then_the_quickest() -> None:
    def lines(*of_engine: int, of_others: int = 1) -> dict[str, list[int]]:
        return {"store/a.py": list(of_engine), "store/b.py": [of_others]}

    def change(function: str, line: int) -> Mutation:
        return Mutation("store/a.py", function, "w", "", (line, line))

    noticing = Noticing({"store/a.py": ["by_process"]})
    noticing.tests = {
        "slow": {"seconds": 9.0, "lines": lines(1, 2, 3)},
        "slower": {"seconds": 10.0, "lines": lines(1, 2, 3)},
        "quick": {"seconds": 0.1, "lines": lines(1, 2, 3)},
        "by_process::test": {"seconds": 5.0, "lines": {}},
        "elsewhere": {"seconds": 0.1, "lines": lines(7)},
    }
    assert list(noticing.tests_for(change("f", 2))) == [
        *("quick", "by_process::test", "slow", "slower")
    ]
    noticing.remember(change("f", 1), "slow")
    noticing.remember(change("g", 3), "slower")
    assert list(noticing.tests_for(change("f", 2)))[:3] == ["slow", "slower", "quick"]
    assert list(noticing.tests_for(change("g", 2)))[:3] == ["slower", "slow", "quick"]


def test_before_them_comes_the_one_that_noticed_the_very_same_the_last_time(tmp_path: Path) -> None:
    change = Mutation("store/a.py", "f", "w", "", (1, 1))
    lines = {"store/a.py": [1]}
    noticing = Noticing({}, read_last(tmp_path / "there is none.json"))
    noticing.remember(change, "slow")
    write_last(tmp_path / "last.json", noticing.last)

    noticing = Noticing({}, read_last(tmp_path / "last.json"))
    noticing.tests = {
        "quick": {"seconds": 0.1, "lines": lines},
        "slow": {"seconds": 9.0, "lines": lines},
    }
    noticing.remember(Mutation("store/a.py", "f", "another", "", (1, 1)), "quick")
    assert list(noticing.tests_for(change)) == ["slow", "quick"]


def test_then_come_tests_that_noticed_much_elsewhere_for_their_time() -> None:
    def change(file: str) -> Mutation:
        return Mutation(file, "f", "w", "", (1, 1))

    lines = {"store/a.py": [1], "store/b.py": [1]}
    noticing = Noticing({})
    noticing.tests = {
        "quick": {"seconds": 0.1, "lines": lines},
        "quicker": {"seconds": 0.01, "lines": lines},
        "known": {"seconds": 0.2, "lines": lines},
    }
    for _ in range(3):
        noticing.remember(change("store/b.py"), "known")
    assert list(noticing.tests_for(change("store/a.py"))) == ["quicker", "known", "quick"]


def _generated(source: str, folder: Path) -> list[Mutation]:
    (folder / "sample.py").write_text(source)
    return generate(folder, "sample.py")
