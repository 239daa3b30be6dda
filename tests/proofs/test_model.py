"""The model of the engine: it holds as far as TLC looks, and misses each of its safeguards."""

import importlib
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from tools import model, tlc

README = (tlc.MODEL / "README.md").read_text()
MODULES = list(tomllib.loads((tlc.MODEL / "runs.toml").read_text()))


@pytest.fixture(autouse=True)
def installed() -> None:
    if tlc.java() is None:
        pytest.skip(tlc.NO_JAVA)
    assert tlc.jar() is not None, tlc.NO_JAR


@pytest.mark.parametrize("module", MODULES)
def test_the_model_holds_and_its_first_twin_is_caught(
    module: str, record_property: Callable[[str, object], None]
) -> None:
    """The others only show something new when the model changes: `make model` runs them."""
    runs = [run for run in model.runs("test") if run.module == module]
    bound = next(run for run in runs if not run.expected)
    twin = next(run for run in runs if run.expected)
    results = list(model.execute([bound, twin]))
    assert [model.describe(result) for result in results if result.problem] == []
    record_property(
        "figures", f"{module}: {model.summary(results, sum(r.seconds for r in results))}"
    )


def a_run(name: str) -> model.Run:
    (run,) = [run for run in model.runs("test", "Lifecycle") if run.name == f"without {name}"]
    return run


def test_a_safeguard_that_is_not_missed_is_noticed() -> None:
    whole = a_run("claim_waits")
    whole = model.Run(
        whole.module,
        whole.name,
        whole.level,
        tlc.Config(
            constants=dict(whole.config.constants) | {"Broken": '"none"', "MaxInvocations": "1"}
        ),
        expected="NotEarly",
    )
    (result,) = model.execute([whole])
    assert result.problem == "the safeguard isn't needed: NotEarly still holds without it"


def test_a_promise_that_is_broken_is_noticed_with_its_counterexample() -> None:
    run = a_run("claim_waits")
    (result,) = model.execute([model.Run(run.module, run.name, run.level, run.config)])
    assert result.problem is not None
    assert result.problem.startswith("NotEarly is broken:\n")
    assert 'do |-> "claim"' in result.problem


def test_another_promise_than_the_expected_is_not_taken_for_it() -> None:
    run = a_run("claim_waits")
    (result,) = model.execute([model.Run(run.module, run.name, run.level, run.config, "Due")])
    assert result.problem is not None
    assert result.problem.startswith("NotEarly is broken, not Due:")


def test_a_module_that_can_not_be_checked_is_noticed() -> None:
    run = a_run("claim_waits")
    lacking = tlc.Config(constants={"Broken": '"none"'})
    (result,) = model.execute([model.Run(run.module, run.name, run.level, lacking)])
    assert result.problem is not None
    assert result.problem.startswith("TLC could not check it:")
    assert "is not assigned a value" in result.problem


def test_every_safeguard_in_the_modules_has_its_twin() -> None:
    for module in MODULES:
        text = (tlc.MODEL / f"{module}.tla").read_text()
        if "EXTENDS Transitions" in text:
            text += (tlc.MODEL / "Transitions.tla").read_text()
        twins = {run.name for run in model.runs("chaos") if run.module == module and run.expected}
        assert {f"without {name}" for name in re.findall(r'Without\("(\w+)"\)', text)} == twins


def test_the_readme_names_every_action_and_functions_that_exist() -> None:
    for module in MODULES:
        text = (tlc.MODEL / f"{module}.tla").read_text()
        for action in actions(text, "Next"):
            assert f"`{action}`" in README, f"{module}: {action}"
    named = set(re.findall(r"`(job_runners\.[\w.]+)`", README))
    assert named
    for name in named:
        assert resolved(name), name


def actions(text: str, name: str) -> set[str]:
    """Return the actions that a definition comes down to: those that it names, or that the
    definitions of what processes do of themselves name."""
    body = re.search(
        rf"^{name}(?:\(\w+\))? *==(.*?)(?:\n\n|\n\w+(?:\(\w+\))? *==)", text, re.M | re.S
    )
    assert body, name
    named = set(re.findall(r"\b([A-Z]\w+)(?=\b(?!\())|\b([A-Z]\w+)\(", body[1]))
    flat = {first or second for first, second in named} - {
        "Workers",
        "Procs",
        "People",
        "Ids",
        "Jobs",
    }
    return {
        each
        for name in flat
        for each in (actions(text, name) if name.endswith("GoesOn") else {name})
        if re.search(rf"^{each}(?:\(\w+\))? *==", text, re.M)
    }


def resolved(name: str) -> bool:
    """Return whether a dotted name is that of a function in our code."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        thing: Any = module
        for part in parts[end:]:
            thing = getattr(thing, part, None)
        return callable(thing)
    return False
