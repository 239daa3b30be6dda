"""An assigning that is interrupted anywhere ends as one that was not, on moto."""

from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts_table import keep, texters
from job_runners.shipped.campaigns import assignment
from job_runners.shipped.campaigns.assigning import even_split
from job_runners.shipped.campaigns.throttled_writer import ThrottledWriter
from job_runners.shipped.jobs.assign_texters import AssignTexters, assign_texters
from recording_job import RecordingJob, Stopped

pytestmark = pytest.mark.usefixtures("aws")

fresh = count()
on_one_moto = settings(
    max_examples=15,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXTERS = st.lists(
    st.tuples(st.sampled_from(["ada", "bo", "cy", "dee"]), st.none() | st.integers(0, 5)),
    min_size=1,
    unique_by=lambda texter: texter[0],
)
# Who has each contact from before; None: nobody.
CONTACTS = st.lists(st.sampled_from([None, None, None, "ada", "bo", "eve"]), max_size=14)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(even_split, "CHUNK", 3)


class Split:
    """One split of the same contacts, in a campaign of its own for each way it is interrupted."""

    def __init__(self, contacts: list[str | None], listed: list[tuple[str, int | None]]) -> None:
        self.contacts = contacts
        self.payload = AssignTexters.model_validate(
            {"texters": [{"id": each, "max_contacts": most} for each, most in listed]}
        )
        self.whole = self.job(self.campaign())
        self.expected = self.run(self.whole)

    def campaign(self) -> str:
        """Return the contacts as they were before, once more."""
        campaign = f"campaign-{next(fresh)}"
        keep(len(self.contacts), campaign)
        for number, texter in enumerate(self.contacts):
            if texter is not None:
                cell = f"+1212555{number:04d}"
                assignment.assign(f"acme#{campaign}", cell, texter, "before")
        return campaign

    def job(self, campaign: str, **how: Any) -> RecordingJob:
        return RecordingJob(campaign_id=campaign, **how)

    def run(self, job: RecordingJob) -> tuple[Any, ...]:
        """Everything that the job leaves: its result, and who has each contact."""
        result = assign_texters(job, self.payload)
        return result, texters(str(job.campaign_id))


@on_one_moto
@given(contacts=CONTACTS, listed=TEXTERS)
def test_stopped_at_any_checkpoint_it_ends_as_if_never_stopped(
    contacts: list[str | None], listed: list[tuple[str, int | None]]
) -> None:
    split = Split(contacts, listed)
    for stop in range(1, len(split.whole.cursors) + 1):
        campaign = split.campaign()
        stopped = split.job(campaign, stop_at=stop)
        with pytest.raises(Stopped):
            split.run(stopped)
        assert split.run(split.job(campaign, cursor=stopped.cursors[-1])) == split.expected


@on_one_moto
@given(contacts=CONTACTS, listed=TEXTERS, data=st.data())
def test_killed_between_any_two_writes_and_resumed_at_any_older_cursor_it_ends_the_same(
    contacts: list[str | None], listed: list[tuple[str, int | None]], data: st.DataObject
) -> None:
    split = Split(contacts, listed)
    campaign = split.campaign()
    killed_at = data.draw(st.integers(0, split.expected[0]["assigned"]))
    order = data.draw(st.permutations(range(even_split.CHUNK)))
    killed = split.job(campaign)
    with pytest.MonkeyPatch.context() as patch:
        _write_out_of_order(patch, order, killed_at)
        with suppress(Stopped):
            split.run(killed)
    cursor = data.draw(st.sampled_from(killed.cursors))  # written; those after it were not
    assert split.run(split.job(campaign, cursor=cursor)) == split.expected


@on_one_moto
@given(contacts=CONTACTS, listed=TEXTERS, data=st.data())
def test_an_invocation_given_up_for_dead_can_go_on_without_harm(
    contacts: list[str | None], listed: list[tuple[str, int | None]], data: st.DataObject
) -> None:
    split = Split(contacts, listed)
    campaign = split.campaign()
    half_way = data.draw(st.integers(1, len(split.whole.cursors)))
    older = data.draw(st.integers(1, half_way))
    ended: list[Any] = []

    class Overtaken(RecordingJob):
        """While it runs, another invocation runs from a cursor of it to the end."""

        def checkpoint(self, *args: Any, **named: Any) -> None:
            super().checkpoint(*args, **named)
            if len(self.cursors) == half_way:
                ended.append(split.run(split.job(campaign, cursor=self.cursors[older - 1])))

    assert split.run(Overtaken(campaign_id=campaign)) == split.expected
    assert ended == [split.expected]


def _write_out_of_order(patch: pytest.MonkeyPatch, order: list[int], killed_at: int) -> None:
    """Make the writes of a chunk in this order, as threads might, and kill before one of them."""
    written = count()

    def each(pool: Any, write: Any, pieces: Any) -> None:
        pieces = list(pieces)
        for place in sorted(range(len(pieces)), key=lambda place: order[place]):
            if next(written) == killed_at:
                raise Stopped
            write(pieces[place])

    patch.setattr(ThrottledWriter, "each", each)
