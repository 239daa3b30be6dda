"""docs/operate/scale.md: its sums are right, and its limits are those of the code."""

import re

import pytest

from expanded_template import deployed, expanded, of_type
from job_runners.store.job_request import DUE_SHARDS
from scale_page import cells, scale_page

# Dollars a million, in us-east-1: what the page's first table multiplies with its quantities.
_JOB_MS, _OVERHEAD_MS, _GB_SECONDS = 100, 50, 13.3334


def dollars(start: str) -> float:
    return float(cells(start)[-1])


PER_JOB = {
    "write units": 6 * 0.625,
    "logs and metrics": 4 * 0.50,
    "the API": 1 + 0.20 + 0.03 * _GB_SECONDS,
    "traces": 0.05 * 3 * 5,
    "the worker's compute time": (_JOB_MS + _OVERHEAD_MS) / 1000 * 0.25 * _GB_SECONDS,
    "invocations of the worker": 0.20,
    "rows for 30 days": 1.2 * (0.25 + 0.20),
}


@pytest.mark.parametrize("start", PER_JOB)
def test_each_item_is_its_quantity_times_its_price(start: str) -> None:
    assert dollars(start) == pytest.approx(PER_JOB[start], abs=0.005)


def test_the_items_add_up_to_what_a_million_jobs_cost() -> None:
    total = sum(map(dollars, [*PER_JOB, "the timer, alarms and metrics"]))
    assert f"256 MB cost ${total:.2f}" in scale_page()


def test_what_the_page_says_about_longer_and_more_jobs_follows_from_its_table() -> None:
    page = " ".join(scale_page().split())
    idle = dollars("the timer, alarms and metrics")
    rest = sum(map(dollars, PER_JOB)) - dollars("the worker's compute time")
    compute = (2 + 0.05) * _GB_SECONDS
    assert f"cost ${idle + rest + compute:.0f}, of which ${compute:.0f} is" in page
    month = 3000 * (rest + compute)  # 100 million a day
    assert f"about ${round(month, -2):,.0f} a month ({compute * 3000 / month:.0%} compute" in page
    assert f"| {round(3500 * 2.05, -2):,.0f} | the quota" in page


def test_an_idle_stack_pays_for_the_alarms_and_the_timer_of_the_template() -> None:
    alarms = len(of_type(deployed(), "AWS::CloudWatch::Alarm"))
    assert f"${alarms * 0.10:.2f} for alarms" in scale_page()
    a_run = 0.5 * _GB_SECONDS + 0.20 + 28 * 0.125  # half a second, and half a unit for each shard
    timer = 30 * 24 * 60 * a_run / 1e6
    assert f"${timer:.2f} for the timer" in scale_page()
    metrics = 2 * 4 * 0.30  # those of the stack, and those of one job type
    assert dollars("the timer, alarms and metrics") == pytest.approx(
        alarms * 0.10 + timer + metrics, abs=0.005
    )


def test_the_limits_are_those_of_the_template_and_the_table() -> None:
    rate = expanded()["Parameters"]["ApiRate"]["Default"]
    assert (
        cells(f"`ApiRate` | {rate} requests/s")[1] == f"{rate * 86400 / 1e6:.0f} million jobs a day"
    )
    shards = re.escape(f"| {DUE_SHARDS} shards in each of 4 groups, 1,000 writes/s for each shard")
    jobs, load = f"{DUE_SHARDS * 1000 // 2:,} jobs/s", 3500 * 2 // DUE_SHARDS // 10 * 10
    assert re.search(rf"{shards}; 2 writes a job \| {jobs} \| {load} a shard", scale_page())
