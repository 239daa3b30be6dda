"""Work that is unique where an organisation has all the jobs that it may have: a request that makes
no new job is answered, and one that makes one is refused."""

import pytest

from bench import Bench
from job_runners.engine.control import caller_actions
from job_runners.errors import QuotaReached
from job_runners.store.job_request import JobRequest
from job_runners.store.queries import count_unfinished
from job_runners.testing.aws import forget


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench where an organisation may have two unfinished jobs."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "2")
    forget()
    return bench


def ask(bench: Bench, lot: str, **more: str) -> JobRequest:
    return bench.dispatch("unique_return", payload={"lot": lot}, **more)


@pytest.mark.parametrize("begins", [False, True])
def test_a_request_for_work_that_is_there_is_answered(bench: Bench, begins: bool) -> None:
    first, _ = ask(bench, "a"), ask(bench, "b")
    if begins:
        bench.claim(first)
    assert ask(bench, "a").id == first.id


def test_a_request_for_work_that_nobody_has_asked_for_is_refused(bench: Bench) -> None:
    ask(bench, "a"), ask(bench, "b")
    with pytest.raises(QuotaReached):
        ask(bench, "c")


def test_a_job_that_follows_another_is_counted(bench: Bench) -> None:
    first = bench.dispatch("unique_follow", payload={"text": "the first"})
    bench.claim(first)
    follows = bench.dispatch("unique_follow", payload={"text": "the second"})
    assert follows.follows == first.created_key
    assert count_unfinished("acme", 10) == 2
    bench.advance(10)
    with pytest.raises(QuotaReached):
        ask(bench, "a")


def test_so_is_one_whose_answer_is_gone(bench: Bench) -> None:
    first = ask(bench, "a")
    assert ask(bench, "a", idempotency_key="k").id == first.id
    bench.run(first)
    bench.advance(10)
    again = {"idempotency_key": "k"}
    ask(bench, "b"), ask(bench, "c")
    assert ask(bench, "a", **again).id == first.id
    caller_actions.delete(bench.read(first))
    with pytest.raises(QuotaReached):
        ask(bench, "a", **again)


def test_the_same_request_for_a_job_that_has_given_up_its_key_is_counted_once(
    bench: Bench,
) -> None:
    first = bench.dispatch("unique_started", payload={"lot": "a"}, idempotency_key="k")
    bench.claim(first)
    bench.advance(0.001)  # a request in the same millisecond would look like the first
    again = bench.dispatch("unique_started", payload={"lot": "a"}, idempotency_key="k")
    assert again.id == first.id
    ask(bench, "b")
