"""Jobs under a hostile Lambda: every promise holds, and each safeguard is what makes it hold."""

import os
import random
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from broken_promise import broken_promise
from early_rescue import rescue_early
from histories import __main__ as chaos
from histories.faults import ALL, OFF, Fault
from histories.history import History, figures_text, play_seed, simulated_aws
from histories.invariant_checker import Violation
from job_runners.engine.running import claiming, ending, execution, failure_records, retrying
from job_runners.engine.tick import due_row, timer
from job_runners.places import CODE
from job_runners.store import conditional_write
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.work import running_job
from sizes import by_size

HISTORIES = by_size(40, 200)
EXAMPLES = 10  # of hypothesis, which plays two histories or more until it has one
SEEDS = st.integers(0, 2**32)


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


class JobsUnderAHostileLambda(RuleBasedStateMachine):
    """Hypothesis decides what happens, and with it the seed of what the Lambda does meanwhile."""

    total: ClassVar[Counter[str]] = Counter()
    played: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.source = random.Random(0)
        self.jobs = self.tasks = 0
        self.history = History(lambda what, n: self.source.randrange(n)).__enter__()

    @precondition(lambda self: self.jobs < 3)
    @rule(seed=SEEDS)
    def dispatch(self, seed: int) -> None:
        """Accept a job."""
        self.source.seed(seed)
        self.jobs += 1
        self.history.dispatch()

    @precondition(lambda self: self.tasks < 2)
    @rule(seed=SEEDS)
    def dispatch_task(self, seed: int) -> None:
        """Accept a task."""
        self.source.seed(seed)
        self.tasks += 1
        self.history.dispatch_task()

    @precondition(lambda self: self.jobs > 0)
    @rule(seed=SEEDS)
    def go_on(self, seed: int) -> None:
        """Something happens."""
        self.source.seed(seed)
        self.history.world.step()

    def teardown(self) -> None:
        """Let the adversary rest: everything must end well."""
        try:
            JobsUnderAHostileLambda.total += self.history.end()
            JobsUnderAHostileLambda.played += 1
        finally:
            self.history.__exit__()


@pytest.mark.timeout(600)
def test_every_accepted_job_ends_in_exactly_one_outcome(
    record_property: Callable[[str, object], None],
) -> None:
    total: Counter[str] = Counter()
    for seed in range(HISTORIES):
        total += play_seed(seed)
    _check(total)
    assert total["deliveries"]
    for function in ("worker", "timer", "failures", "api"):  # each records ends with follow-ups
        assert total[f"ends with follow-ups in the {function}"]
    record_property("figures", f"{HISTORIES} histories: {figures_text(total)}")


@pytest.mark.timeout(600)
@pytest.mark.more
def test_every_accepted_job_ends_in_exactly_one_outcome_whatever_is_tried(
    record_property: Callable[[str, object], None],
) -> None:
    run_state_machine_as_test(
        JobsUnderAHostileLambda,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=12,
            # The same histories each time: a check that may fail by chance tells nothing of the
            # change that it is run for. `make chaos` plays others.
            derandomize=True,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    total, played = JobsUnderAHostileLambda.total, JobsUnderAHostileLambda.played
    _check(total)
    record_property("figures", f"{played} histories that hypothesis made up: {figures_text(total)}")


def _check(total: Counter[str]) -> None:
    assert min(total[each] for each in ("kills", "duplicates", "zombies", "responses lost")) > 10
    assert (total["lost"], total["doubled"], total["tasks lost"]) == (0, 0, 0)


def test_a_seed_plays_the_same_history_again() -> None:
    assert [play_seed(seed) for seed in range(5)] == [play_seed(seed) for seed in range(5)]


def test_a_seed_plays_the_same_history_again_in_another_process() -> None:
    """As whoever replays a broken promise does: sets are in another order there."""
    command = [sys.executable, "-m", "histories", "--seed", "13"]  # two schedules are due
    path = os.pathsep.join((str(CODE), str(CODE / "tests" / "support")))
    first, second = (
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": number, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.partition(": ")[2]
        for number in "01"
    )
    assert "occurrences: " in first
    assert first == second


@pytest.mark.parametrize("faults", [None, OFF, ALL, {Fault.NO_ANSWER, Fault.STORM}])
def test_a_broken_promise_comes_with_the_command_that_plays_it_again(
    faults: frozenset[Fault] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has the faults of the run: without them the seed plays another history."""

    def break_a_promise(history: History) -> None:
        raise Violation("a promise", history.world.figures)

    monkeypatch.setattr(History, "end", break_a_promise)
    with pytest.raises(Violation) as broken:
        play_seed(94, faults)
    command = str(broken.value).rpartition("python -m ")[2]
    monkeypatch.setattr("sys.argv", shlex.split(command))
    options = chaos._options()
    assert (options.seed, options.faults) == (94, faults)


# --- it can catch: without any one safeguard, a promise is broken ---------------------------------


def test_it_notices_when_a_write_does_not_ask_for_the_claim_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        conditional_write, "owned_by_claim", lambda job: JobRequest.status == Status.RUNNING
    )
    assert broken_promise(near=1024)


def test_it_notices_when_a_claim_does_not_ask_for_the_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = conditional_write.write

    def without(transition: str, job: Any, actions: Any, condition: Any, **more: Any) -> Any:
        anything = JobRequest.id.exists() if transition == "claim" else condition
        return write(transition, job, actions, anything, **more)

    monkeypatch.setattr(conditional_write, "write", without)
    assert broken_promise(counted="doubled")


def test_it_notices_when_a_lease_ends_before_its_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("job_runners.store.transitions.claiming.SKEW", -50_000)
    assert "rescued from a worker that is alive" in broken_promise(near=64)


def test_it_notices_when_a_rescue_does_not_wait_for_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rescue_early(monkeypatch)
    assert "rescued from a worker that is alive" in broken_promise(near=64)


def test_it_notices_when_a_claim_takes_the_row_off_the_due_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = conditional_write.write

    def without(transition: str, job: Any, actions: Any, condition: Any, **more: Any) -> Any:
        removed = [JobRequest.due_at.remove()] if transition == "claim" else []
        return write(transition, job, [*actions, *removed], condition, **more)

    monkeypatch.setattr(conditional_write, "write", without)
    assert "stranded" in broken_promise(near=62, counted="lost")


def test_it_notices_when_nobody_reads_after_a_lost_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conditional_write, "read", lambda job_id: None)
    assert "ended well and left it running" in broken_promise(near=44)


def test_it_notices_when_the_timer_does_not_move_what_it_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for where in ("job_runners.store.transitions", "job_runners.store.transitions.claiming"):
        monkeypatch.setattr(f"{where}.postpone", lambda row, due_at, lane: Change(row, row))
    assert "times" in broken_promise(near=38)


def test_it_notices_when_the_timer_does_not_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_row, "MAX_CHECK_GAP", conditional_write.GRACE)
    assert "was sent" in broken_promise(near=76)


def test_it_notices_when_an_untagged_job_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def record_failed_attempt(*arguments: Any, **options: Any) -> Change:
        with pytest.MonkeyPatch.context() as here:  # of jobs alone: tasks are decided as ever
            here.setattr(retrying, "seconds_before_retry", lambda *_: 1.0)
            return retrying.record_failed_attempt(*arguments, **options)

    for where in (ending, failure_records, due_row):
        monkeypatch.setattr(where, "record_failed_attempt", record_failed_attempt)
    monkeypatch.setattr(conditional_write, "attempts_left", lambda: JobRequest.id.exists())
    assert "is in attempt" in broken_promise()


def _once(_until: int, call: Callable[[], Any]) -> Any:
    return call()


def test_it_notices_when_an_outcome_is_written_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "retry_until", _once)
    assert "returned, and its worker left it running" in broken_promise(
        near=430, faults={Fault.STORM}
    )


def test_it_notices_when_a_claim_that_landed_unheard_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "retry_until", _once)
    faults = ALL - {Fault.WAITS, Fault.SUBSCRIPTIONS}
    assert "ended well and left it running" in broken_promise(near=714, faults=faults)


def test_it_notices_when_a_job_does_not_wait_for_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_job, "retry_until", _once)
    assert "failed without a reason" in broken_promise(near=2113, faults={Fault.STORM})


def test_it_notices_when_the_record_of_what_never_ran_settles_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failure_records, "_never_ran", lambda *_: False)
    assert "while its worker is alive" in broken_promise(near=852, faults={Fault.NOT_LOADED})


def test_it_notices_when_a_payload_that_older_code_refuses_fails_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "_MAX_DEPLOY_WAIT", 0)
    assert "failed without a reason: InvalidPayload" in broken_promise(
        near=740, faults={Fault.DEPLOYS}
    )


def test_it_notices_when_the_legacy_worker_takes_a_job_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send_next = timer.send_next

    def impatient(*arguments: Any, **options: Any) -> Counter[timer.Disposition]:
        with pytest.MonkeyPatch.context() as here:  # the worker process alone: not the timer
            rescue_early(here)
            return send_next(*arguments, **options)

    monkeypatch.setattr(timer, "send_next", impatient)
    assert "rescued from a worker that is alive" in broken_promise(near=1654, faults={Fault.LEGACY})
