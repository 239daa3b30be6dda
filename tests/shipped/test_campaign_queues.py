"""The queues of the texting campaign: one that assigns at a time, and first messages at a rate."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from bench import Bench
from contacts_table import keep
from fake_sns import Sns, answering_sns
from job_runners.engine.control import owner_actions
from job_runners.shipped.campaigns import contact_queries
from job_runners.shipped.campaigns.assignment import assign
from job_runners.shipped.jobs.send_first_messages import PER_TURN
from job_runners.store import blobs, children
from job_runners.store.job_request import JobRequest, Status


@pytest.fixture
def sns(bench: Bench) -> Sns:
    return answering_sns()


def campaign(name: str, contacts: int, organization_id: str = "acme") -> None:
    """Make contacts that have a texter, and no message yet."""
    keep(contacts, name, organization_id)
    for number in range(contacts):
        assign(f"{organization_id}#{name}", f"+1212555{number:04d}", "ada", "run")


def start(bench: Bench, name: str, organization_id: str = "acme") -> JobRequest:
    """Dispatch the job that texts a campaign, and run it until it waits for its turns."""
    row = bench.dispatch(
        "send_first_messages",
        payload={"text": f"{organization_id} {name}"},
        campaign_id=name,
        organization_id=organization_id,
    )
    bench.run(row)
    return row


def test_first_messages_leave_at_the_rate_of_their_queue(still: Bench, sns: Sns) -> None:
    campaign("spring", 2 * PER_TURN + 5)
    row = start(still, "spring")
    assert still.read(row).status is Status.WAITING
    still.run_out()
    turns = [still.read(each.id) for each in children.page(still.read(row), limit=10).children]
    began = sorted(turn.started_at or 0 for turn in turns)
    assert [after - before >= 1000 for before, after in pairwise(began)] == [True, True]
    assert began[-1] - began[0] < 4000
    done = still.read(row)
    assert (done.status, done.attempt) == (Status.SUCCEEDED, 1)
    numbers = Counter(each["PhoneNumber"][0] for each in sns.sent)
    assert (len(numbers), set(numbers.values())) == (45, {1})


def test_campaigns_of_two_organisations_take_turns(still: Bench, sns: Sns) -> None:
    """The one with many contacts has no more of the rate than the one with few."""
    campaign("large", 5 * PER_TURN)
    campaign("small", 2 * PER_TURN, "other")
    large, small = start(still, "large"), start(still, "small", "other")
    still.run_out()
    assert {still.read(row).status for row in (large, small)} == {Status.SUCCEEDED}
    turns = [each["Message"][0] for each in sns.sent[::PER_TURN]]
    assert turns[:4] == ["acme large", "other small"] * 2
    assert turns[4:] == ["acme large"] * 3


def test_cancelled_between_two_turns_it_texts_nobody_more(bench: Bench, sns: Sns) -> None:
    campaign("spring", 3 * PER_TURN)
    row = start(bench, "spring")
    while not sns.sent:
        bench.run_message(bench.sent.pop(0)[0])
    assert owner_actions.cancel(bench.read(row)).status is Status.CANCELLED
    bench.run_out()
    bench.advance(60)
    bench.tick()
    bench.run_out()
    assert len(sns.sent) == PER_TURN


def ask_to_assign(bench: Bench, *texters: str, campaign: str = "spring") -> JobRequest:
    return bench.dispatch(
        "assign_texters",
        payload={"texters": [{"id": texter} for texter in texters]},
        campaign_id=campaign,
    )


def assigned(bench: Bench, row: JobRequest) -> dict[str, int]:
    """Return how many contacts a job has given to each texter."""
    done = bench.read(row)
    texters = blobs.get(done.result, done.result_key)["texters"]
    return {name: each["assigned"] for name, each in texters.items()}


def test_assigning_is_asked_for_twice_and_done_once_with_the_latest_texters(bench: Bench) -> None:
    keep(4)
    first, second = ask_to_assign(bench, "ada"), ask_to_assign(bench, "ada", "bo")
    assert second.id == first.id
    bench.run(first)
    assert assigned(bench, first) == {"ada": 2, "bo": 2}


def test_one_job_at_a_time_assigns_the_contacts_of_a_campaign_and_one_more_follows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(3)
    keep(3, "autumn")
    first, elsewhere = ask_to_assign(bench, "ada"), ask_to_assign(bench, "cy", campaign="autumn")
    assignments = contact_queries.assignments
    seen: list[Status] = []
    asked: list[JobRequest] = []

    def in_the_middle(*given: Any) -> Iterator[Any]:
        found = list(assignments(*given))
        if not seen:
            asked.extend(ask_to_assign(bench, texter) for texter in ("bo", "cy"))
            keep(5)  # an import, of which the job that runs learns nothing
            seen.append(bench.read(first).status)
            seen.extend(bench.run(row).status for row in (asked[1], elsewhere))
        yield from found

    monkeypatch.setattr(contact_queries, "assignments", in_the_middle)
    bench.run(first)
    assert seen == [Status.RUNNING, Status.WAITING, Status.SUCCEEDED]
    assert len({first.id, *(row.id for row in asked)}) == 2
    bench.run_out()
    assert assigned(bench, first)["ada"] + assigned(bench, asked[0])["cy"] == 5
