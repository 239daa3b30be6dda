"""job-runners cost: an estimate that can be followed manually."""

import json
from pathlib import Path
from typing import Any

import pytest

from expanded_template import expanded
from job_runners.building.build import ROOT
from job_runners.cli.commands import cost as cost_command
from job_runners.cli.cost_model import SHIPPED, Prices, Workload, bill
from job_runners.cli.problem import Exit
from job_runners.store.job_request import DUE_SHARDS
from jobs_command import jobs


def cost(*words: str) -> dict[str, Any]:
    done = jobs("cost", *words, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def line(found: dict[str, Any], what: str) -> dict[str, Any]:
    (only,) = (each for each in found["lines"] if each["what"] == what)
    return dict(only)


def test_a_million_jobs_of_two_seconds() -> None:
    found = cost("--jobs", "1e6", "--seconds", "2")
    assert line(found, "write units")["quantity"] == 6e6
    assert line(found, "write units")["dollars"] == pytest.approx(3.75)
    assert line(found, "worker compute, GB-s")["quantity"] == pytest.approx(2.05e6)
    dollars = sum(each["dollars"] for each in found["lines"])
    assert found["dollars_a_month"] == pytest.approx(dollars)
    assert found["workers_at_once"] == pytest.approx(2.05e6 / (30 * 86400))


def test_a_worker_class_gives_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_command, "ROOT", tmp_path)
    (tmp_path / "app.toml").write_text("[workers.large]\nmemory = 4096\n[workers.tiny]\n")
    words = ("--jobs", "1e6", "--seconds", "2")
    assert cost(*words, "--worker", "large") == cost(*words, "--memory", "4096")
    assert cost(*words, "--worker", "tiny") == cost(*words)
    done = jobs("cost", *words, "--worker", "huge")
    assert done.exit_code == Exit.REFUSED
    assert "app.toml has no [workers.huge]" in done.stderr
    assert "It has large, tiny." in done.stderr


def test_what_is_shown_can_be_followed_and_names_where_and_when_its_prices_are_of() -> None:
    text = jobs("cost", "--jobs", "1e8", "--per", "day", "--seconds", "2").stdout
    assert "write units\t1.8e+10\t$0.000000625\t11,250.00\t6 a job, for a row of 1 KB" in text
    shipped = Prices.load()
    assert f"Prices of {shipped.region} on {shipped.date}." in text
    assert "1,157.4 jobs a second" in text
    assert "6,944 write units a second" in text


def test_each_option_moves_what_it_is_about() -> None:
    plain = cost("--jobs", "1e6", "--seconds", "2")
    assert line(cost("--jobs", "1e6", "--seconds", "2", "--memory", "512"), "worker compute, GB-s")[
        "quantity"
    ] == pytest.approx(1.025e6)
    on_x86 = cost("--jobs", "1e6", "--seconds", "2", "--arch", "x86_64")
    assert on_x86["dollars_a_month"] > plain["dollars_a_month"]
    from_jobs = cost("--jobs", "1e6", "--seconds", "2", "--no-http")
    assert not any("API" in each["what"] for each in from_jobs["lines"])
    large = cost("--jobs", "1e6", "--seconds", "2", "--payload", "100000")
    assert line(large, "large payloads, written")["quantity"] == 1e6
    assert line(large, "write units")["quantity"] == 6e6
    waiting = cost("--jobs", "1e6", "--seconds", "2", "--limits", "slots", "--waiting", "0.5")
    assert line(waiting, "write units")["quantity"] == (6 + (6 + 17) / 2) * 1e6
    steps = cost("--jobs", "1e6", "--seconds", "2", "--steps", "3")
    assert line(steps, "write units")["quantity"] == (6 + 3) * 1e6
    assert steps["dollars_a_month"] - plain["dollars_a_month"] == pytest.approx(4.28, abs=0.01)
    assert line(steps, "steps kept, GB-months")["quantity"] == 3 * 0.15 * 300 / 30
    unique = cost("--jobs", "1e6", "--seconds", "2", "--unique")
    assert line(unique, "write units")["quantity"] == (6 + 6 + 2) * 1e6
    assert line(unique, "read units")["quantity"] == 1e6
    recurring = cost("--jobs", "1e6", "--seconds", "2", "--recurring")
    assert line(recurring, "write units")["quantity"] == (6 + 5) * 1e6
    assert line(recurring, "read units")["quantity"] == 2e6
    assert not any("API" in each["what"] for each in recurring["lines"])


def test_prices_of_your_own_are_used(tmp_path: Path) -> None:
    mine = tmp_path / "prices.toml"
    mine.write_text(
        SHIPPED.read_text()
        .replace('region = "us-east-1"', 'region = "eu-west-3"')
        .replace("write_unit = 0.625e-6", "write_unit = 1e-6")
    )
    found = cost("--jobs", "1e6", "--seconds", "2", "--prices", str(mine))
    assert line(found, "write units")["dollars"] == pytest.approx(6)
    assert found["prices"]["region"] == "eu-west-3"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "Can't read"),
        ("date =", "isn't a price file"),
        ('date = "x"\nregion = "y"\n[prices]\n', "has no 'api_request'"),
    ],
)
def test_prices_that_are_none_are_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "prices.toml"
    if text is not None:
        path.write_text(text)
    done = jobs("cost", "--jobs", "1", "--seconds", "1", "--prices", str(path))
    assert done.exit_code == Exit.REFUSED
    assert problem in done.stderr


def test_a_share_that_waits_needs_limits() -> None:
    done = jobs("cost", "--jobs", "1", "--seconds", "1", "--waiting", "0.5")
    assert done.exit_code == Exit.USAGE


@pytest.mark.parametrize(("seconds", "least"), [("1801", 2), ("3600", 2), ("10000", 6)])
def test_work_that_no_invocation_has_the_time_for_needs_invocations(
    seconds: str, least: int
) -> None:
    done = jobs("cost", "--jobs", "1", "--seconds", seconds, "--invocations", str(least - 1))
    assert done.exit_code == Exit.USAGE
    assert f"Pass --invocations {least} or more" in done.stderr
    cost("--jobs", "1", "--seconds", seconds, "--invocations", str(least))


def test_every_price_is_of_a_line() -> None:
    everything = bill(Workload(jobs=1, seconds=90, payload_bytes=9000, retried=0.1))
    on_x86 = bill(Workload(jobs=1, seconds=1, architecture="x86_64"))
    used = {each.price for each in (*everything, *on_x86)}
    assert used == set(Prices.load().by_name)


# --- docs/operate/scale.md ------------------------------------------------------------------------


def test_the_page_tells_the_figures_that_the_command_does() -> None:
    page = " ".join((ROOT / "docs/operate/scale.md").read_text().split())
    million = cost("--jobs", "1e6", "--seconds", "2")
    seconds = line(million, "worker compute, GB-s")["dollars"]
    assert f"cost ${million['dollars_a_month']:.0f}, of which ${seconds:.0f} is" in page
    much = cost("--jobs", "1e8", "--per", "day", "--seconds", "2")
    assert f"about ${round(much['dollars_a_month'], -2):,.0f} a month" in page
    share = line(much, "worker compute, GB-s")["dollars"] / much["dollars_a_month"]
    assert f"{share:.0%} compute" in page
    at_peak = 3500 / 1e8 * 86400 * much["workers_at_once"]
    assert f"| {round(at_peak, -2):,.0f} | the quota" in page


def test_the_page_tells_what_the_template_and_the_table_have() -> None:
    page = (ROOT / "docs/operate/scale.md").read_text()
    rate = expanded()["Parameters"]["ApiRate"]["Default"]
    assert f"| {rate} requests/s | {rate * 86400 / 1e6:.0f} million jobs a day |" in page
    assert f"| {DUE_SHARDS} shards in each of 4 groups" in page
    assert "1,000 writes/s for each shard; 2 writes a job |" in page
    assert (
        f"| {DUE_SHARDS * 1000 // 2:,} jobs/s | {3500 * 2 // DUE_SHARDS // 10 * 10} a shard" in page
    )


def test_the_page_about_cost_has_the_items_of_short_jobs_and_of_an_idle_stack() -> None:
    page = (ROOT / "docs/operate/scale.md").read_text()
    short = cost("--jobs", "1e6", "--seconds", "0.1", "--memory", "256")
    assert f"256 MB cost ${short['dollars_a_month']:.2f}" in page

    def shown(*starts: str) -> str:
        lines = short["lines"]
        return f"{sum(each['dollars'] for each in lines if each['what'].startswith(starts)):.2f}"

    def said(start: str) -> str:
        (row,) = (each for each in page.splitlines() if each.startswith(f"| {start}"))
        return row.split("|")[2].strip()

    assert said("write units: 6 a job") == shown("write units")
    assert said("logs and metrics: 4 KB a job") == shown("logs")
    assert said("the API |") == shown("API")
    assert said("traces |") == shown("traces")
    assert said("the worker |") == shown("worker")
    assert said("rows for 30 days") == shown("rows")
    assert said("the timer, alarms and metrics") == shown("timer", "alarms", "metrics")
    assert f"${shown('alarms')} for alarms" in page
    assert f"${shown('timer')} for the timer" in page
