"""assign_texters through its front door, on moto: who gets whom, and what assignments survive."""

import json
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from contacts_table import contacts, keep, run, texters
from job_runners.aws import clients
from job_runners.errors import DoNotRetry, RetryAfter
from job_runners.shipped.campaigns import contact_queries, throttled_writer
from job_runners.shipped.campaigns.assigning import even_split
from job_runners.shipped.campaigns.assignment import assign
from job_runners.shipped.jobs.assign_texters import AssignTexters, assign_texters
from job_runners.work.retry import Retry
from recording_job import RecordingJob

pytestmark = pytest.mark.usefixtures("aws")


def split(*ids: str, job: RecordingJob | None = None, **most: int) -> dict[str, Any]:
    """Assign the texters in `ids`, without limit, and those in `most`, each with its own."""
    listed: list[dict[str, Any]] = [{"id": each} for each in ids]
    listed += [{"id": each, "max_contacts": limit} for each, limit in most.items()]
    payload = AssignTexters.model_validate({"texters": listed})
    return assign_texters(job or RecordingJob(), payload)


def test_contacts_are_split_evenly_over_the_texters() -> None:
    keep(11)
    assert split("ada", "bo", "cy") == {
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


def test_who_has_contacts_keeps_them_and_the_others_catch_up() -> None:
    keep(5)
    split("ada")
    keep(7, first=5)
    result = split("ada", "bo", "cy")
    assert texters()[:5] == ["ada"] * 5
    assert Counter(texters()) == {"ada": 5, "bo": 4, "cy": 3}
    assert (result["kept"], result["assigned"]) == (5, 7)
    assert result["texters"]["ada"] == {"kept": 5, "assigned": 0}


def test_contacts_of_a_texter_who_is_not_listed_stay_with_them() -> None:
    keep(4)
    split("ada")
    keep(2, first=4)
    result = split("bo")
    assert texters() == ["ada"] * 4 + ["bo"] * 2
    assert result["kept"] == 4
    assert result["texters"] == {"bo": {"kept": 0, "assigned": 2}}


def test_nobody_gets_more_than_their_most_and_nobody_loses_what_is_above_it() -> None:
    keep(3)
    split("ada")
    keep(12, first=3)
    result = split("bo", ada=2, cy=1, dee=0, eli=4)
    assert Counter(texters()) == {"ada": 3, "bo": 7, "cy": 1, "eli": 4}
    assert result["unassigned"] == 0


def test_contacts_that_no_texter_has_room_for_are_counted() -> None:
    keep(5)
    assert split(ada=1, bo=2)["unassigned"] == 2
    assert texters() == ["ada", "bo", "bo", None, None]
    assert split("cy")["texters"] == {"cy": {"kept": 0, "assigned": 2}}


def test_running_it_again_changes_nothing() -> None:
    keep(9)
    split("ada", "bo")
    before = texters()
    result = split("ada", "bo")
    assert (result["assigned"], result["kept"]) == (0, 9)
    assert texters() == before


def test_a_campaign_without_contacts_is_done_at_once() -> None:
    result = split("ada")
    assert (result["contacts"], result["assigned"]) == (0, 0)


def test_campaigns_and_organisations_are_apart() -> None:
    keep(2, "spring")
    keep(2, "spring#assignment")
    assign("acme2#spring", "+12125550000", "eve", "run")
    split("ada")
    assert texters("spring") == ["ada", "ada"]
    assert texters("spring#assignment") == [None, None]


def test_importing_the_same_contacts_again_keeps_their_assignments() -> None:
    file = "first_name,last_name,cell\n" + "".join(
        f"Ann,Lee,212555{n:04d}\n" for n in range(100, 110)
    )
    run(file)
    split("ada", "bo")
    before = texters()
    assert set(before) == {"ada", "bo"}
    run(file.replace("Ann", "Anna"))
    assert {each["first_name"] for each in contacts()} == {"Anna"}
    assert texters() == before


def test_a_contact_that_another_job_assigns_meanwhile_stays_with_its_texter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(9)
    monkeypatch.setattr(even_split, "CHUNK", 3)

    class Overtaken(RecordingJob):
        """Just before the second chunk is dealt, another job takes three contacts in it and on."""

        def checkpoint(self, *args: Any, **named: Any) -> None:
            super().checkpoint(*args, **named)
            if named["message"] == "3 of 9 contacts assigned":
                for number in (3, 4, 8):
                    assign("acme#spring", f"+1212555{number:04d}", "bo", "another")

    with pytest.MonkeyPatch.context() as patch:
        _read_before_they_are_assigned(patch)
        result = split("ada", "bo", job=Overtaken())
    assert [texters()[number] for number in (3, 4, 8)] == ["bo", "bo", "bo"]
    assert (result["kept"], result["assigned"], result["unassigned"]) == (3, 6, 0)
    assert result["texters"]["bo"]["kept"] == 3
    assert abs(texters().count("ada") - texters().count("bo")) <= 1


def test_a_texter_whose_contact_went_to_another_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(6)
    monkeypatch.setattr(even_split, "CHUNK", 4)
    assign("acme#spring", "+12125550002", "eve", "another")
    with pytest.MonkeyPatch.context() as patch:
        _read_before_they_are_assigned(patch)
        split("ada", "bo", "cy")
    assert texters() == ["ada", "bo", "eve", "ada", "cy", "bo"]


def _read_before_they_are_assigned(patch: pytest.MonkeyPatch) -> None:
    """Every contact is read just before another job assigns it: the write alone can tell."""
    real = contact_queries.assignments
    patch.setattr(
        contact_queries, "assignments", lambda *of: ((cell, None) for cell, _ in real(*of))
    )


def test_a_write_whose_response_was_lost_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(6)
    client = clients.client("dynamodb")
    real = client.put_item

    def put_item(**request: Any) -> Any:
        real(**request)
        return real(**request)  # as botocore does after a timeout

    monkeypatch.setattr(client, "put_item", put_item)
    assert split("ada", "bo")["texters"] == {
        "ada": {"kept": 0, "assigned": 3},
        "bo": {"kept": 0, "assigned": 3},
    }
    assert Counter(texters()) == {"ada": 3, "bo": 3}


def test_a_table_too_busy_for_a_while_gets_every_assignment_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(6)
    client = clients.client("dynamodb")
    real, asked = client.put_item, Counter[str]()

    def put_item(**request: Any) -> Any:
        cell = request["Item"]["cell"]["S"]
        asked[cell] += 1
        if asked[cell] < 3:
            error = {"Error": {"Code": "ProvisionedThroughputExceededException"}}
            raise ClientError(error, "PutItem")  # type: ignore[arg-type]
        return real(**request)

    monkeypatch.setattr(client, "put_item", put_item)
    monkeypatch.setattr(throttled_writer, "_BACKOFF", Retry(base=0.001, cap=0.002))
    split("ada", "bo")
    assert Counter(texters()) == {"ada": 3, "bo": 3}
    assert set(asked.values()) == {3}
    asked.clear()
    keep(1, first=6)
    with pytest.raises(RetryAfter, match="table is throttled"):
        split("ada", job=RecordingJob(seconds=5))


def test_progress_and_messages_tell_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(even_split, "CHUNK", 2)
    keep(4)
    job = RecordingJob()
    split("ada", job=job)
    assert list(zip(job.shares, job.messages, strict=True)) == [
        (0.0, "0 contacts counted"),
        (0.0, "2 contacts counted"),
        (0.0, "4 contacts counted"),
        (20.0, "0 of 4 contacts assigned"),
        (60.0, "2 of 4 contacts assigned"),
        (100.0, "4 of 4 contacts assigned"),
    ]


def test_the_cursor_stays_small_with_a_thousand_texters() -> None:
    keep(3)
    job = RecordingJob()
    split(*(f"texter-{number}" for number in range(1000)), job=job)
    assert len(json.dumps(job.cursors[-1], separators=(",", ":"))) < 5000


def test_the_numbers_of_a_campaign_that_spans_pages_are_all_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(7)
    split("ada")  # so that a page can end between a contact and its assignment
    keep(2, first=7)
    client = clients.client("dynamodb")
    real = client.query
    for limit in (1, 2, 3):
        monkeypatch.setattr(
            client, "query", lambda limit=limit, **query: real(Limit=limit, **query)
        )
        assert texters() == ["ada"] * 7 + [None, None]
        assert len(contacts()) == 9


def test_a_job_without_its_campaign_says_so() -> None:
    with pytest.raises(DoNotRetry, match="campaign_id is missing"):
        split("ada", job=RecordingJob(campaign_id=None))


@pytest.mark.parametrize(
    ("listed", "why"),
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
def test_texters_that_can_not_be_meant_are_refused(listed: list[Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        AssignTexters.model_validate({"texters": listed})
