"""What is said about a runner that can't send a job again is said in one place."""

import ast
from pathlib import Path

import pytest

from errors import RunnerCannotResend
from runners.sending import require_sender

ROOT = Path(__file__).parents[2]


def test_it_returns_the_sender_that_there_is() -> None:
    def send(message: object, delay: float = 0) -> None:
        pass

    assert require_sender(send, "mow", "is tagged for retry") is send


def test_without_one_the_error_names_the_job_and_what_it_needs() -> None:
    with pytest.raises(
        RunnerCannotResend, match=r"'mow' is tagged for retry, which needs a runner"
    ):
        require_sender(None, "mow", "is tagged for retry")


def test_nobody_else_says_it() -> None:
    makers = {
        str(path.relative_to(ROOT))
        for room in ("runners", "api", "handlers", "work", "store")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "RunnerCannotResend"
    }
    assert makers == {"runners/sending.py"}
