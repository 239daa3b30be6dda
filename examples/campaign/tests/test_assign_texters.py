"""Who gets which contacts, and which assignments survive."""

from collections import Counter
from typing import Any

import pytest

from campaign import assign_texters
from campaign.contacts import assign, assignments, dynamodb
from campaign_world import (
    HEADER,
    SPRING,
    cell,
    cells,
    contacts_of,
    give,
    import_file,
    keep,
    statuses,
    texters,
)
from job_runners.testing.hostile import Hostile
from job_runners.testing.job_runner import InlineRunner, InvalidPayload
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJob, SavedJobs, assert_succeeded


def listed(*ids: str, **most: int) -> dict[str, Any]:
    """Return a payload with the texters in `ids`, without limit, and those in `most`, each with its
    own."""
    limited = [{"id": each, "max_contacts": limit} for each, limit in most.items()]
    return {**SPRING, "texters": [*({"id": each} for each in ids), *limited]}


def split(job_runner: InlineRunner, *ids: str, **most: int) -> Any:
    return assert_succeeded(job_runner.run("assign_texters", listed(*ids, **most)))


def test_contacts_are_split_evenly(job_runner: InlineRunner) -> None:
    assert split(job_runner, "ada")["contacts"] == 0
    keep(range(11))
    assert split(job_runner, "ada", "bo", "cy") == {
        "contacts": 11,
        "assigned": 11,
        "kept": 0,
        "unassigned": 0,
        "texters": {
            "ada": {"kept": 0, "assigned": 4},
            "bo": {"kept": 0, "assigned": 4},
            "cy": {"kept": 0, "assigned": 3},
        },
    }
    assert Counter(texters()) == {"ada": 4, "bo": 4, "cy": 3}
    assert set(statuses()) == {"needs_message"}
    before = texters()
    again = split(job_runner, "ada", "bo", "cy")
    assert (again["assigned"], again["kept"], texters()) == (0, 11, before)


def test_texters_keep_their_contacts_and_the_others_catch_up(job_runner: InlineRunner) -> None:
    keep(range(12))
    give(0, 1, 2, 3, 4, to="ada")
    give(5, 6, to="eve")  # who isn't listed any more
    result = split(job_runner, "ada", "bo", "cy")
    assert texters()[:7] == ["ada"] * 5 + ["eve"] * 2
    assert Counter(texters()) == {"ada": 5, "eve": 2, "bo": 3, "cy": 2}
    assert (result["kept"], result["assigned"]) == (7, 5)
    assert result["texters"]["ada"] == {"kept": 5, "assigned": 0}


def test_no_texter_gets_more_than_the_most_or_loses_what_is_above_it(
    job_runner: InlineRunner,
) -> None:
    keep(range(15))
    give(0, 1, 2)
    assert split(job_runner, "bo", ada=2, cy=1, dee=0, eli=4)["unassigned"] == 0
    assert Counter(texters()) == {"ada": 3, "bo": 7, "cy": 1, "eli": 4}


def test_contacts_beyond_all_limits_stay_unassigned_and_are_counted(
    job_runner: InlineRunner,
) -> None:
    keep(range(5))
    assert split(job_runner, ada=1, bo=2)["unassigned"] == 2
    assert texters() == ["ada", "bo", "bo", None, None]


def test_campaigns_and_organizations_are_apart(job_runner: InlineRunner) -> None:
    for campaign in ("spring", "spring#assignment"):
        keep(range(2), campaign)
    keep(range(2), organization="other")
    split(job_runner, "ada")
    assert texters("spring") == ["ada", "ada"]
    assert texters("spring#assignment") == [None, None]
    job = job_runner.run("export_contacts", SPRING, organization_id="other")
    assert assert_succeeded(job)["rows"] == 2


def test_importing_contacts_again_keeps_their_assignments(job_runner: InlineRunner) -> None:
    file = HEADER + "".join(f"Ann,Lee,212555{n:04d}\n" for n in range(100, 110))
    import_file(job_runner, file)
    split(job_runner, "ada", "bo")
    before = texters()
    assert set(before) == {"ada", "bo"}
    import_file(job_runner, file.replace("Ann", "Anna"))
    assert {each["first_name"] for each in contacts_of()} == {"Anna"}
    assert texters() == before


# --- interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [None, 3])
def test_whatever_dies_the_contacts_get_the_same_texters(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    monkeypatch.setattr(assign_texters, "CHUNK", 3)
    monkeypatch.setattr(assign_texters, "_THREADS", 1)
    run = assign_texters._Assigning.run

    def recorded(work: Any) -> Any:
        result = run(work)
        hostile.effects.record((str(result), str(texters())))
        return result

    def set_up() -> None:
        keep(range(8))
        give(2, to="ada")
        give(5, to="eve")

    monkeypatch.setattr(assign_texters._Assigning, "run", recorded)
    limits = {} if most is None else {"bo": most, "cy": most}
    payload = listed("ada", *(() if limits else ("bo", "cy")), **limits)
    report = hostile.run("assign_texters", payload, before_each=set_up, most=60)
    for play in report.plays:
        assert set(play.effects) == set(report.undisturbed.effects), play.mishap
        assert play.job.status == "succeeded", play.mishap


def test_a_long_assignment_goes_on_in_many_invocations(
    job_runner: InlineRunner,
    saved_jobs: SavedJobs,
    monkeypatch: pytest.MonkeyPatch,
    movable_clock: MovableClock,
) -> None:
    monkeypatch.setattr(assign_texters, "CHUNK", 3)

    def slowly(*given: Any) -> Any:
        movable_clock.advance(10)
        return assign(*given)

    monkeypatch.setattr(assign_texters, "assign", slowly)
    keep(range(10))
    job = job_runner.dispatch("assign_texters", listed("ada", "bo"))
    job_runner.drain(seconds=50)
    done = saved_jobs.get(job.id)
    assert done.invocations > 2
    assert done.message == "10 of 10 contacts assigned"
    assert Counter(texters()) == {"ada": 5, "bo": 5}


def test_a_contact_that_another_program_assigns_stays_with_its_texter(
    job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each contact is read just before the other program assigns it. Only the write notices."""
    monkeypatch.setattr(assign_texters, "CHUNK", 4)

    def unassigned(*given: Any) -> Any:
        return ((each, None) for each, _ in assignments(*given))

    monkeypatch.setattr(assign_texters, "assignments", unassigned)
    keep(range(6))
    give(2, to="eve")
    result = split(job_runner, "ada", "bo", "cy")
    assert texters() == ["ada", "bo", "eve", "ada", "cy", "bo"]  # cy's contact went to eve
    assert (result["kept"], result["assigned"]) == (1, 5)


def test_repeated_writes_count_once(
    job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(range(6))
    client = dynamodb()
    real = client.put_item

    def put_item(**call: Any) -> Any:
        real(**call)
        return real(**call)  # as botocore does after a timeout

    monkeypatch.setattr(client, "put_item", put_item)
    assert split(job_runner, "ada", "bo")["texters"] == {
        "ada": {"kept": 0, "assigned": 3},
        "bo": {"kept": 0, "assigned": 3},
    }
    assert Counter(texters()) == {"ada": 3, "bo": 3}


def test_a_campaign_that_spans_pages_is_read_whole(
    job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(range(7))
    split(job_runner, "ada")  # so that a page can end between a contact and its assignment
    keep(range(7, 9))
    real = dynamodb().get_paginator

    def in_pages(size: int) -> Any:
        def get_paginator(name: str) -> Any:
            paginator = real(name)
            whole = paginator.paginate
            paginator.paginate = lambda **query: whole(**query, PaginationConfig={"PageSize": size})
            return paginator

        return get_paginator

    for size in (1, 2, 3):
        monkeypatch.setattr(dynamodb(), "get_paginator", in_pages(size))
        assert texters() == ["ada"] * 7 + [None, None]
        assert cells() == [cell(number) for number in range(9)]


# --- one at a time --------------------------------------------------------------------------------


def assigned(job: SavedJob) -> dict[str, int]:
    counts = assert_succeeded(job)["texters"]
    return {name: each["assigned"] for name, each in counts.items()}


def test_a_waiting_job_takes_the_texters_of_the_next_request(
    job_runner: InlineRunner, saved_jobs: SavedJobs
) -> None:
    keep(range(4))
    first = job_runner.dispatch("assign_texters", listed("ada"))
    second = job_runner.dispatch("assign_texters", listed("ada", "bo"))
    assert second.id == first.id
    job_runner.drain()
    assert assigned(saved_jobs.get(first.id)) == {"ada": 2, "bo": 2}


def test_one_job_at_a_time_assigns_a_campaign_and_one_more_follows(
    job_runner: InlineRunner, saved_jobs: SavedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(range(3))
    keep(range(3), "autumn")
    later: list[SavedJob] = []
    seen: list[str] = []

    def in_the_middle(*given: Any) -> Any:
        found = list(assignments(*given))
        if not later:
            later.extend(job_runner.dispatch("assign_texters", listed(each)) for each in "bc")
            keep(range(5))  # an import, which the running job doesn't notice
            job_runner.run_due()
            seen.extend(str(saved_jobs.get(each.id).status) for each in (first, *later, elsewhere))
        yield from found

    monkeypatch.setattr(assign_texters, "assignments", in_the_middle)
    first = job_runner.dispatch("assign_texters", listed("a"))
    elsewhere = job_runner.dispatch("assign_texters", {**listed("z"), "campaign": "autumn"})
    job_runner.drain()
    assert seen == ["running", "waiting", "waiting", "succeeded"]
    assert later[0].id == later[1].id != first.id
    counts = [assigned(saved_jobs.get(each.id)) for each in (first, later[0])]
    assert sum(counts[0].values()) + counts[1]["c"] == 5


@pytest.mark.parametrize(
    ("texters", "why"),
    [
        ([], "at least 1 item"),
        ([{"id": "ada"}, {"id": "bo"}, {"id": "ada"}], "number 3 has the id of number 1"),
        ([{"id": ""}], "match pattern"),
        ([{"id": "a b"}], "match pattern"),
        ([{"id": "ada\n"}], "match pattern"),
        ([{"id": "ada", "max_contacts": -1}], "greater than or equal to 0"),
        ([{"id": "ada", "needs": 1}], "Extra inputs"),
        ([{"id": f"t{number}"} for number in range(1001)], "at most 1000 items"),
    ],
)
def test_texters_that_make_no_sense_are_refused(
    job_runner: InlineRunner, texters: list[Any], why: str
) -> None:
    with pytest.raises(InvalidPayload, match=why):
        job_runner.dispatch("assign_texters", {**SPRING, "texters": texters})


def test_a_thousand_texters_fit_into_the_cursor(
    job_runner: InlineRunner, saved_jobs: SavedJobs
) -> None:
    keep(range(3))
    split(job_runner, *(f"texter-{number}" for number in range(1000)))
    assert len(str(saved_jobs.only("assign_texters").cursor).replace(" ", "")) < 5000
