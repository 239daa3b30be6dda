"""The model and the code are the same engine: each write of recorded histories is one of the
model's, and a transition that differs from the model's is noticed."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from early_rescue import rescue_early
from histories.faults import Fault
from histories.history import simulated_aws
from job_runners.store import conditional_write, holdings
from job_runners.store.conditional_write import JobEnd
from job_runners.store.job_request import JobRequest
from recorded_histories import LIMITED, WITHOUT_LIMITS, not_of_the_model, recorded
from sizes import by_size
from tools import tlc

HISTORIES = by_size(8, 30, 1000)
OF_LIMITS = by_size(18, 24, 300)
_AT_ONCE = 50  # that TLC is given in one module
VERBS = set(re.findall(r'write\.do = "(\w+)"', (tlc.MODEL / "Replay.tla").read_text())) - {"claim"}


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    if tlc.java() is None:
        pytest.skip(tlc.NO_JAVA)
    assert tlc.jar() is not None, tlc.NO_JAR
    with simulated_aws():
        yield


def test_every_write_of_recorded_histories_is_one_of_the_models(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    transitions: Counter[str] = Counter()
    for first in range(0, HISTORIES, _AT_ONCE):
        last = min(HISTORIES, first + _AT_ONCE)
        histories = recorded(range(first, last, 2))
        histories += recorded(range(first + 1, last, 2), WITHOUT_LIMITS | {Fault.GROUPS})
        assert not_of_the_model(histories, tmp_path) is None
        lives = [writes for history in histories for writes in history.values()]
        transitions.update(write.transition for writes in lives for write in writes)
    # No history has a row that can't be read, or a legacy worker that runs on.
    missing = {"set_aside", "renew"}
    if HISTORIES < 1000:
        missing |= {"wait_again", "record", "cancel_members", "cancel_parent", "delete"}
    if HISTORIES < 30:
        missing |= {
            "release",
            "request_cancel",
            "requeue",
            "stop",
            "end_invocation",
            "wait",
            "delete",
        }
        missing |= {"gather", "finish_group", "sleep"}
    assert VERBS - set(transitions) <= missing
    record_property(
        "figures", f"{HISTORIES} histories: {transitions.total():,} writes follow the model"
    )


def test_every_slot_is_taken_and_given_back_as_in_the_model(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    taken, transitions = 0, set[str]()
    for first in range(0, OF_LIMITS, _AT_ONCE):
        histories = recorded(range(first, min(OF_LIMITS, first + _AT_ONCE)), LIMITED)
        assert not_of_the_model(histories, tmp_path) is None
        for write in (each for history in histories for life in history.values() for each in life):
            taken += len(write.slots.took)
            transitions |= {write.transition} if write.slots.took or write.slots.gave else set()
    assert {"claim", "admit", "succeed", "hold", "retry"} <= transitions
    record_property("figures", f"{OF_LIMITS} histories: {taken} slots follow the model")


def test_a_slot_that_is_not_given_back_with_its_row_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(holdings, "writes_to_free_slot", lambda job: [])
    words = words_about(1, tmp_path, LIMITED)
    assert "gave |-> {}" in words


def test_a_claim_that_does_not_ask_for_the_status_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = conditional_write.write

    def without(transition: str, job: Any, actions: Any, condition: Any, **more: Any) -> Any:
        anything = JobRequest.id.exists() if transition == "claim" else condition
        return write(transition, job, actions, anything, **more)

    monkeypatch.setattr(conditional_write, "write", without)
    assert 'do |-> "claim"' in words_about(8, tmp_path)


def test_an_end_that_leaves_its_row_due_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = conditional_write.finish_actions

    def due(end: JobEnd) -> list[Any]:
        return [each for each in finished(end) if "due_at" not in str(each)]

    monkeypatch.setattr(conditional_write, "finish_actions", due)
    assert re.search('do \\|-> "(succeed|fail|stop|cancel|expire)"', words_about(0, tmp_path))


def test_a_rescue_that_does_not_wait_for_the_lease_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rescue_early(monkeypatch)
    assert 'who |-> "timer"' in words_about(33, tmp_path)


def words_about(seed: int, folder: Path, faults: frozenset[Fault] = WITHOUT_LIMITS) -> str:
    """Return TLC's words about a write that is not of the model: the last state alone. The seed is
    one that noticed when the test was written; another history may since be the first that does."""
    for each in range(seed, seed + 20):
        words = not_of_the_model(recorded([each], faults), folder)
        if words is not None:
            return words.rpartition("\nState ")[2] or words
    raise AssertionError("the model has every write")
