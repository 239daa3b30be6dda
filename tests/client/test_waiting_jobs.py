"""The jobs of the page about waits, tested with the fixtures of the plugin, on bad days too."""

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import shop

from api_events import call
from api_server import ApiServer
from job_runners.engine.errors import SignalConflict, SignalTooLate
from job_runners.places import ROOT
from job_runners.store import signals
from job_runners.testing.aws import forget
from job_runners.testing.hostile import Effects, Hostile
from job_runners.testing.job_runner import InlineRunner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJob, SavedJobs, assert_succeeded
from sizes import by_size

DAY = 24 * 3600
ORDER = {"order": "A7", "customer": "ada@example.com"}
REFUND = ORDER | {"cents": 500, "approver": "grace@example.com"}
APPROVE, REJECT = {"approval": "approve"}, {"approval": "reject"}
CASES = [
    ("fulfill", ORDER, {"paid": {"receipt": 1}}, "shipped", ["request", "ship", "mail ada"]),
    ("fulfill", ORDER, {"canceled": None}, "canceled", ["request", "mail ada"]),
    ("fulfill", ORDER, {}, "expired", ["request", "mail ada"]),
    ("refund", REFUND, APPROVE, "refunded", ["mail grace", "pay back", "mail ada"]),
    ("refund", REFUND, REJECT, "refused", ["mail grace", "mail ada"]),
    ("refund", REFUND, {}, "refused", ["mail grace", "mail ada"]),
]


class FakeServices(shop.Services):
    """Services that note what they do. A repeated key does nothing."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self.link = ""  # the path of the last link in an e-mail

    @property
    def done(self) -> list[Any]:
        return self._effects.seen

    def request_payment(self, order: str, job_id: str, key: str) -> None:
        self._effects.record("request", idempotency_key=key)

    def ship(self, order: str, key: str) -> None:
        self._effects.record("ship", idempotency_key=key)

    def pay_back(self, order: str, cents: int, key: str) -> None:
        self._effects.record("pay back", idempotency_key=key)

    def mail(self, to: str, text: str) -> None:
        if found := re.search(r"https://jobs\.example(\S+)", text):
            self.link = found[1]
        self._effects.record(f"mail {to.removesuffix('@example.com')}", at_least_once=True)


def snippets() -> list[str]:
    page = (ROOT / "docs/build/waits.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    return {"JOBS_PROJECT": str(ROOT / "tests/support/waits_project")}


@pytest.fixture
def services(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    fake = FakeServices(hostile.effects)
    monkeypatch.setattr(shop, "services", fake)
    return fake


@pytest.fixture
def asked(job_runner: InlineRunner, services: FakeServices) -> SavedJob:
    """Return a refund that waits for its answer."""
    job = job_runner.dispatch("refund", REFUND)
    job_runner.run_due()
    assert (SavedJobs().get(job.id).status, services.done) == ("waiting", ["mail grace"])
    return job


def answer(services: FakeServices, choice: str) -> int:
    """Press a button on the page of the link."""
    return call("POST", services.link, body={"choice": choice}).status


@pytest.mark.parametrize(("job_type", "payload", "values", "result", "done"), CASES)
def test_an_order_and_a_refund_end_as_people_say(
    job_type: str,
    payload: Any,
    values: dict[str, Any],
    result: str,
    done: list[str],
    job_runner: InlineRunner,
    services: FakeServices,
) -> None:
    job = job_runner.run(job_type, payload, signals=values)
    assert (assert_succeeded(job), services.done) == (result, done)


@pytest.mark.parametrize(("job_type", "payload", "values", "result", "done"), CASES)
def test_they_do_so_once_whatever_happens(
    job_type: str,
    payload: Any,
    values: dict[str, Any],
    result: str,
    done: list[str],
    hostile: Hostile,
    services: FakeServices,
) -> None:
    killed = [f"killed after side effect {n} ({each!r})" for n, each in enumerate(done, start=1)]
    few = ["each wait ended its invocation", *killed]
    report = hostile.run(job_type, payload, signals=values, only=few[: by_size(99, 0)])
    report.assert_done_once()
    assert (report.undisturbed.job.result, list(report.undisturbed.effects)) == (result, done)
    assert set(few) <= {play.mishap for play in report.plays if play.has_succeeded}


def test_of_two_answers_at_once_one_counts(
    job_runner: InlineRunner,
    asked: SavedJob,
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rejection has looked for an answer before the approval is stored."""
    find = signals.find
    statuses: list[int] = []

    def approved_after(job: Any, name: str) -> Any:
        monkeypatch.setattr(signals, "find", find)
        found = find(job, name)
        statuses.append(answer(services, "approve"))
        return found

    monkeypatch.setattr(signals, "find", approved_after)
    statuses.append(answer(services, "reject"))
    assert statuses == [200, 409]
    job_runner.drain()
    assert assert_succeeded(asked) == "refunded"
    assert services.done == ["mail grace", "pay back", "mail ada"]


def test_an_answer_that_comes_twice_counts_once(
    job_runner: InlineRunner, asked: SavedJob, services: FakeServices
) -> None:
    assert [answer(services, "approve") for _ in range(2)] == [200, 200]
    job_runner.signal(asked, "approval", "approve")
    job_runner.drain()
    assert answer(services, "approve") == 200
    with pytest.raises(SignalConflict):
        job_runner.signal(asked, "approval", "reject")
    assert assert_succeeded(asked) == "refunded"
    assert services.done == ["mail grace", "pay back", "mail ada"]


@pytest.mark.parametrize("early", [60, -60])
def test_an_answer_counts_until_the_timeout(
    early: int,
    job_runner: InlineRunner,
    asked: SavedJob,
    services: FakeServices,
    movable_clock: MovableClock,
) -> None:
    movable_clock.advance(7 * DAY - early)
    job_runner.run_due()
    assert answer(services, "approve") == (200 if early > 0 else 410)
    job_runner.run_due()
    assert assert_succeeded(asked) == ("refunded" if early > 0 else "refused")


def test_a_payment_that_comes_too_late_is_refused(
    job_runner: InlineRunner, services: FakeServices, movable_clock: MovableClock
) -> None:
    job = job_runner.dispatch("fulfill", ORDER)
    job_runner.run_due()
    movable_clock.advance(DAY + 60)
    job_runner.run_due()
    with pytest.raises(SignalTooLate):
        job_runner.signal(job, "paid", {"receipt": 1})
    assert (assert_succeeded(job), services.done) == ("expired", ["request", "mail ada"])


# The function has another name and a new step, the question other words, and waits other timeouts.
CHANGES = {
    "def refund(": "def decide(",
    "Job(refund,": "Job(decide,",
    "Refund {cents}": "Give back {cents}",
    "7 * DAY": "DAY",
    'job.step("ask"': 'job.step("new", bool)\n    job.step("ask"',
}


def deploy(folder: Path, services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as the next version of the code in a new process."""
    source = Path(shop.__file__).read_text()
    for before, after in CHANGES.items():
        assert before in source
        source = source.replace(before, after)
    (folder / "shop").mkdir()
    (folder / "shop/__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "shop")
    forget()
    monkeypatch.setattr(import_module("shop"), "services", services)


@pytest.mark.parametrize("choice", ["approve", "reject"])
def test_a_refund_that_waits_survives_a_deploy(
    choice: str,
    job_runner: InlineRunner,
    asked: SavedJob,
    services: FakeServices,
    movable_clock: MovableClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(tmp_path, services, monkeypatch)
    movable_clock.advance(6 * DAY)
    job_runner.run_due()
    assert SavedJobs().get(asked.id).status == "waiting"  # a wait keeps its end
    assert answer(services, choice) == 200
    job_runner.drain()
    paid = ["pay back"] if choice == "approve" else []
    assert assert_succeeded(asked) == ("refunded" if paid else "refused")
    assert services.done == ["mail grace", *paid, "mail ada"]


# --- the guide ------------------------------------------------------------------------------------


def test_the_guide_shows_the_code_that_is_tested_here() -> None:
    source = Path(shop.__file__).read_text()
    shown = [each for each in snippets() if "services." in each]
    assert [each for each in shown if each not in source] == []
    assert len(shown) == 2


def test_the_webhook_of_the_guide_returns_what_it_cannot_use(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    page: dict[str, Any] = {}
    (webhook,) = [each for each in snippets() if "on_payment" in each]
    exec(webhook, page)
    job = page["client"].dispatch("sample_once", delay=600)
    for receipt in ("r1", "r1", "r2"):
        page["on_payment"](job.id, receipt)
    page["client"].cancel(job.id)
    page["on_payment"](page["client"].dispatch("sample_once").id, "r3")
    assert page["returned"] == ["r2", "r3"]
