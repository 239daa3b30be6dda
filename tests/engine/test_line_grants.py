"""What a decision gives: the lowest free slot within the number in force, and what it has read."""

from typing import Any

import pytest

import clock
from bench import Bench
from store import limits, lines, verbs
from store.job_request import JobRequest
from store.lines import LineItem
from store.rate import Rate
from store.transactions import RaceLost

QUEUE = "texts"


@pytest.mark.parametrize(
    ("held", "in_force", "given"),
    [
        ((), 3, 1),
        ((1,), 3, 2),
        ((2,), 2, 1),
        ((3,), 2, 1),
        ((2,), 1, None),
        ((2, 3), 2, None),
    ],
)
def test_the_lowest_free_slot_is_given_and_those_above_it_are_counted(
    held: tuple[int, ...], in_force: int, given: int | None
) -> None:
    slots = {number: LineItem("line#a#*", f"slot#{number:03d}", holder="h") for number in held}
    grant = lines.Line("line#a#*", limits.Limits(slots=in_force), slots).grant("")
    slot = grant.slot if grant is not None else None
    assert (slot.number if slot is not None else None) == given


@pytest.mark.parametrize("limited", [{"slots": 1}, {"rate": Rate(1000, burst=1000)}])
def test_what_was_given_since_it_was_read_is_not_given_again(
    bench: Bench, limited: dict[str, Any]
) -> None:
    """Though it is free again: who decides by a line as it was then may overrun its number."""
    limits.put(QUEUE, **limited)
    rows = [bench.dispatch(queue_name=QUEUE) for _ in range(2)]
    line = lines.read_line(QUEUE, "*", limits.Limits(**limited))

    def claim(row: JobRequest) -> JobRequest:
        return verbs.claim(
            row.id,
            job_type=row.job_type,
            send_id="s",
            deadline=clock.now() + clock.MINUTE,
            entrance=verbs.Entrance(row, "*", line.grant("")),
        )

    verbs.succeed(claim(rows[0]), None)
    with pytest.raises(RaceLost):
        claim(rows[1])
