"""A queue in which too many wait takes no more."""

import pytest

import clock
from aws import clients
from bench import Bench
from errors import QueueFull
from outage import Outage
from runners.full_queues import refuse_if_full
from store.limits import Limits
from store.line_length import count_waiting

pytestmark = pytest.mark.usefixtures("aws")

LINE = "line#mailings#acme"
LIMITS = Limits(slots=1, max_waiting=3)


def wait(count: int) -> None:
    client = clients.client("dynamodb")
    for number in range(count):
        sort_key = {"S": f"wait##{clock.now():015}{number:032}"}
        client.put_item(TableName="coordination", Item={"pk": {"S": LINE}, "sk": sort_key})
    for other in ("slot#001", "rate"):
        client.put_item(TableName="coordination", Item={"pk": {"S": LINE}, "sk": {"S": other}})


def full() -> bool:
    try:
        refuse_if_full("mailings", "acme", LIMITS)
    except QueueFull:
        return True
    return False


@pytest.mark.parametrize(("waiting", "most", "counted"), [(0, 3, 0), (2, 3, 2), (5, 3, 3)])
def test_only_those_that_wait_are_counted_up_to_what_matters(
    waiting: int, most: int, counted: int
) -> None:
    wait(waiting)
    assert count_waiting("mailings", "acme", most) == counted
    assert count_waiting("mailings", "other", most) == 0


def test_a_line_of_many_pages_is_counted() -> None:
    """A page of DynamoDB ends at 1 MB. Here each has one item."""
    wait(4)
    limits = []

    def one_at_a_time(params: dict[str, object], **_: object) -> None:
        limits.append(params["Limit"])
        params["Limit"] = 1

    events = clients.client("dynamodb").meta.events
    events.register("provide-client-params.dynamodb.Query", one_at_a_time)
    assert count_waiting("mailings", "acme", 3) == 3
    assert limits == [3, 2, 1]


def test_beyond_as_many_as_may_wait_a_job_is_refused() -> None:
    wait(2)
    assert not full()


def test_who_is_refused_is_told_how_many_wait() -> None:
    wait(3)
    with pytest.raises(QueueFull, match="the queue 'mailings' is full: 3 jobs wait there"):
        refuse_if_full("mailings", "acme", LIMITS)
    refuse_if_full("mailings", "other", LIMITS)  # each key has a line of its own


def test_a_line_is_counted_once_in_ten_seconds(bench: Bench) -> None:
    assert not full()
    wait(3)
    bench.advance(5)
    assert not full()
    bench.advance(5)
    assert full()


@pytest.mark.parametrize("kind", ["throttled", "broken", "cut off"])
def test_a_line_that_can_not_be_counted_takes_jobs(outage: Outage, kind: str) -> None:
    """Whether a job may start is decided when it starts. Here it is only a matter of patience."""
    wait(3)
    outage.begin(kind, only="Query")
    assert not full()
    assert "Query" in outage.calls
