"""A job and the jobs it has dispatched: each leads to the other."""

import base64
from collections import Counter
from typing import Any

import pytest

from api_events import Answer, call
from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import bulk
from job_runners.store import blobs, cursors, group_chunks, groups, steps
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.work import Member, running_job
from outage import Outage
from sample_work import script

TOO_LONG = cursors.encode("child ", "k" * (steps.MAX_NAME_BYTES - len("child ") + 1))
IN_GROUP = base64.urlsafe_b64encode(b"\0one#all").decode()  # without the index of a member


def parent_of(*keys: str, then: Any = None) -> Any:
    """Return a job that dispatches a child under each key, once."""

    def work(job: Any, payload: object) -> None:
        script.job = then or (lambda job, payload: "done")
        for key in keys:
            job.dispatch("sample_once", {"number": 7}, key=key)

    return work


def children(row: JobRequest, **query: str) -> Answer:
    """Return the answer once this list shows all recent writes."""
    clock.sleep(2)
    return call("GET", f"/jobs/{row.id}/children", query=query)


def groups_of(row: JobRequest) -> list[dict[str, Any]]:
    """Return the job's groups once this list shows all recent writes."""
    clock.sleep(2)
    found: list[dict[str, Any]] = call("GET", f"/jobs/{row.id}/groups").json["groups"]
    return found


def run_parent(bench: Bench, *keys: str, **more: Any) -> JobRequest:
    script.job = parent_of(*keys, **more)
    return bench.run(bench.dispatch("sample_once"))


def test_a_child_and_its_parent_lead_to_each_other(bench: Bench) -> None:
    parent = run_parent(bench, "print", "export")
    bench.deliver()
    listed = children(parent).json
    assert [each["key"] for each in listed["children"]] == ["export", "print"]
    assert listed["cursor"] is None
    for each in listed["children"]:
        assert each["job"]["status"] == "succeeded"
        child = call("GET", f"/jobs/{each['id']}").json
        assert child["parent_id"] == parent.id
    assert call("GET", f"/jobs/{parent.id}").json["parent_id"] is None


def test_a_viewer_gets_all_children_without_a_trace_of_their_keys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is often a value of a payload, such as an e-mail address."""
    keys = [f"{name}@example.com" for name in ("ada", "bo", "cy", "di", "ed")]

    def work(job: Any, payload: Any) -> None:
        script.job = lambda job, payload: "done"
        for key in keys:
            job.dispatch("sample_once", {"number": 7}, key=key)
        job.gather("all", [Member("sample_once", {}, key) for key in keys])

    script.job = work
    parent = bench.run(bench.dispatch("sample_once"))
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    seen: dict[str, list[Any]] = {}
    for role in ("viewer", "reader"):
        bench.advance(2)  # the list may lag behind
        claims = {"sub": "u", "roles": role, "organization_id": "acme"}
        query: dict[str, str] = {}
        answers: list[Answer] = []
        while not answers or query["cursor"]:
            path = f"/jobs/{parent.id}/children"
            answers.append(call("GET", path, claims=claims, query={"limit": "2"} | query))
            query = {"cursor": answers[-1].json["cursor"]}
        seen[role] = [each for answer in answers for each in answer.json["children"]]
        if role == "viewer":
            cursors = [
                base64.urlsafe_b64decode(f"{each.json['cursor'] or ''}==") for each in answers
            ]
            text = " ".join([*(each.text for each in answers), *map(str, cursors)])
            assert "@example.com" not in text
            ids = [each["id"] for each in seen[role][: len(keys)]]
            assert ids == sorted(ids)
    assert {each["key"] for each in seen["viewer"]} == {None}
    assert [each["key"] for each in seen["reader"]] == keys * 2
    assert {each["id"] for each in seen["viewer"]} == {each["id"] for each in seen["reader"]}
    guess = base64.urlsafe_b64encode(b"child b").decode().rstrip("=")
    claims = {"sub": "u", "roles": "viewer", "organization_id": "acme"}
    answer = call("GET", f"/jobs/{parent.id}/children", claims=claims, query={"cursor": guess})
    assert (answer.status, answer.json["type"]) == (400, "urn:job-runners:invalid-cursor")


def test_no_id_of_a_child_can_be_guessed_from_its_key(still: Bench) -> None:
    """A viewer sees all but the key. So a parent that looks the same must have other ids."""
    script.job = lambda job, payload: (
        job.dispatch("sample_once", key="ada@example.com"),
        job.gather("all", [Member("sample_once", {}, "ada@example.com")]),
    )
    seen = []
    for _ in range(2):
        parent = still.run(still.dispatch("sample_once", idempotency_key="one"))
        ids = {row["id"] for row in moto_direct.rows("jobs")} - {parent.id}
        seen.append((parent.created_key, ids))
        moto_direct.clear("jobs")
        moto_direct.clear("coordination")
    (first, its), (second, others) = seen
    assert first == second
    assert len(its | others) == 4


def test_members_of_groups_are_children_too_and_are_counted(bench: Bench) -> None:
    def work(job: Any, payload: Any) -> Any:
        if payload.text == "parent":
            job.dispatch("sample_once", key="print")
            for name, count in (("one", 2), ("two", 3)):
                job.gather(name, [Member("sample_once", {"number": n}) for n in range(count)])
            return None
        return 1 / payload.number

    script.job = work
    parent = bench.run(bench.dispatch("sample_once", payload={"text": "parent"}))
    bench.run(bench.read(sent_member(bench, parent, "one", 0)))
    (group,) = groups_of(parent)
    assert (group["name"], group["total"], group["open"], group["failed"]) == ("one", 2, 1, 1)
    assert (group["progress"], group["as_of"]) == (50, None)
    bench.deliver()
    for limit in range(1, 8):  # a page may end anywhere in a group
        found, cursor = [], None
        for _ in range(-(-6 // limit)):
            page = children(parent, limit=str(limit), **({"cursor": cursor} if cursor else {})).json
            found += page["children"]
            cursor = page["cursor"]
        assert cursor is None
        assert [(each["group"], each["key"]) for each in found] == [
            (None, "print"),
            *(("one", f"{n:06d}") for n in range(2)),
            *(("two", f"{n:06d}") for n in range(3)),
        ]
    for each in found:
        child = call("GET", f"/jobs/{each['id']}").json
        assert (child["parent_id"], child["group"]) == (parent.id, each["group"])
    assert [(each["name"], each["succeeded"], each["failed"]) for each in groups_of(parent)] == [
        ("one", 1, 1),
        ("two", 2, 1),
    ]


def sent_member(bench: Bench, parent: JobRequest, name: str, number: int) -> str:
    """Return the id of a member, whose message is dropped."""
    group = groups.new_group(bench.read(parent), name, is_large=False)
    member_id = group.member_id(f"{number:06d}")
    bench.sent = [each for each in bench.sent if getattr(each[0], "id", None) != member_id]
    return member_id


def test_the_groups_of_a_large_group_are_as_of_the_last_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 2)

    def work(job: Any, payload: Any) -> Any:
        if payload.text == "parent":
            job.gather("all", [Member("sample_once", {"number": n}) for n in range(5)])
            job.sleep("a while", 3600)
        return None

    script.job = work
    parent = bench.run(bench.dispatch("sample_once", payload={"text": "parent"}))

    def shown() -> tuple[int, int, bool]:
        (group,) = groups_of(parent)
        return group["total"], group["open"], group["as_of"] is None

    assert shown() == (5, 5, True)  # until the timer's first look, they are counted now
    for number in range(2):
        bench.run(bench.read(sent_member(bench, parent, "all", number)))
    assert shown() == (5, 3, True)
    bench.advance(100)
    bench.tick()
    assert shown() == (5, 3, False)
    assert bench.read(parent).progress == 0  # the job sets its own
    bench.run_out()
    assert shown() == (5, 0, False)


def test_a_job_without_children_has_none(bench: Bench) -> None:
    script.job = lambda job, payload: job.step("children ", lambda: "a step, and no child")
    assert children(bench.run(bench.dispatch())).json == {"children": [], "cursor": None}


def test_a_key_too_long_for_the_table_is_refused_before_a_child_is_saved(bench: Bench) -> None:
    longest = steps.MAX_NAME_BYTES - len("child ")
    parent = run_parent(bench, "k" * longest)
    assert parent.status is Status.SUCCEEDED
    assert len(children(parent).json["children"]) == 1
    bench.sent.clear()
    there = {row["id"] for row in moto_direct.rows("jobs")}
    for key in ("k" * (longest + 1), "ü" * 510):
        refused = run_parent(bench, key)
        assert (refused.status, refused.error["kind"]) == (Status.FAILED, "NameTooLong")
        assert refused.error["message"].startswith("The key of the child has 1,0")
        assert key[:9] not in refused.error["message"]
        assert "The limit is 1,018." in refused.error["message"]
        there.add(refused.id)
    assert {row["id"] for row in moto_direct.rows("jobs")} == there
    assert bench.sent == []


def test_more_children_than_a_page_holds_follow_under_a_cursor(bench: Bench) -> None:
    keys = ["", *(f"{number} {'ü' * 400}" for number in range(3)), "child 3"]
    parent = run_parent(bench, *keys)
    found: list[str] = []
    query: dict[str, Any] = {"limit": "1"}
    for size in (1, 2, 2):
        page = children(parent, **query).json
        assert len(page["children"]) == size
        found += [each["key"] for each in page["children"]]
        query = {"limit": "2", "cursor": page["cursor"]}
    assert page["cursor"] is None
    assert found == keys


def test_a_child_that_was_deleted_is_still_told_by_its_key(bench: Bench) -> None:
    parent = run_parent(bench, "one")
    bench.deliver()
    [child] = children(parent).json["children"]
    caller_actions.delete(bench.read(child["id"]))
    assert children(parent).json["children"] == [
        {"key": "one", "group": None, "id": child["id"], "job": None}
    ]


def test_a_child_that_has_expired_is_gone_for_every_reader(bench: Bench) -> None:
    parent = run_parent(bench, "one")
    bench.deliver()
    bench.advance(40 * clock.DAY / clock.SECOND)
    parent.update([JobRequest.expires_at.remove()])
    [child] = children(parent).json["children"]
    assert (child["key"], child["job"]) == ("one", None)


def test_a_job_of_another_organisation_is_nobodys_child(bench: Bench) -> None:
    """Ids come from the job's own step results."""
    other = bench.dispatch(organization_id="other")
    parent = run_parent(bench)
    steps.record(parent, "child one", other.id)
    assert children(parent).json["children"] == [
        {"key": "one", "group": None, "id": other.id, "job": None}
    ]


@pytest.mark.parametrize("cursor", ["=", "nope!", "_w", TOO_LONG, IN_GROUP])
def test_a_cursor_that_no_page_gave_out_is_refused(bench: Bench, cursor: str) -> None:
    answer = children(run_parent(bench, "one"), cursor=cursor)
    assert (answer.status, answer.json["type"]) == (400, "urn:job-runners:invalid-cursor")


def test_a_cursor_does_not_reach_into_another_job(bench: Bench) -> None:
    cursor = children(run_parent(bench, "a", "b", "c"), limit="1").json["cursor"]
    other = run_parent(bench, "b", "z")
    page = children(other, cursor=cursor).json
    assert [each["key"] for each in page["children"]] == ["b", "z"]


def test_looking_for_children_costs_one_query_and_one_batch(bench: Bench) -> None:
    parent = run_parent(bench, *map(str, range(30)))
    alone = bench.run(bench.dispatch("sample_once"))
    counted: Counter[str] = Counter()
    clients.client("dynamodb").meta.events.register(
        "before-call.*.*", lambda model, **_: counted.update([model.name])
    )
    assert len(children(parent, limit="100").json["children"]) == 30
    assert counted == {"GetItem": 1, "Query": 1, "BatchGetItem": 1}
    counted.clear()
    children(alone)
    assert counted == {"GetItem": 1, "Query": 1}


# --- many at once ---------------------------------------------------------------------------------


def many(count: int, **more: Any) -> Any:
    """Return a job that dispatches this number of children with one call."""

    def work(job: Any, payload: object) -> Any:
        script.job = lambda job, payload: "done"
        pairs = ((f"{number:03}", {"number": number, **more}) for number in range(count))
        return job.dispatch_many("sample_once", pairs)

    return work


def test_many_children_are_dispatched_at_once_and_returned_by_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_job, "_CHUNK_SIZE", 4)
    script.job = many(10)
    parent = bench.run(bench.dispatch("sample_once"))
    ids = blobs.get(parent.result, parent.result_key)
    assert [*ids] == [f"{number:03}" for number in range(10)]
    assert sorted(bench.sent_jobs) == sorted(ids.values())
    listed = children(parent, limit="20").json["children"]
    assert [(each["key"], each["id"]) for each in listed] == [*ids.items()]
    assert {bench.read(each).parent_id for each in ids.values()} == {parent.id}


def test_a_retry_dispatches_only_the_children_that_are_missing(bench: Bench) -> None:
    seen: list[dict[str, str]] = []

    def work(job: Any, payload: object) -> None:
        pairs = [(str(number), {"number": 1}) for number in range(2 + 3 * len(seen))]
        seen.append(job.dispatch_many("sample_once", pairs))
        if len(seen) == 1:
            done = bench.read(seen[0]["0"])
            caller_actions.delete(caller_actions.cancel(done))  # it isn't dispatched again
            raise ValueError("no luck")

    script.job = work
    row = bench.run(bench.dispatch("sample_again"))
    bench.advance(100)
    assert bench.run(row).status is Status.SUCCEEDED
    first, second = seen
    assert len(second) == 5
    assert first.items() <= second.items()
    assert len(moto_direct.rows("jobs")) == 5


def test_an_invalid_child_keeps_all_of_its_chunk_from_being_dispatched(bench: Bench) -> None:
    script.job = many(5, text=7)
    row = bench.run(bench.dispatch("sample_once"))
    assert row.error is not None
    assert row.error["kind"] == "InvalidPayload"
    assert len(moto_direct.rows("jobs")) == 1


def test_a_key_too_long_is_refused_before_any_child_is_saved(bench: Bench) -> None:
    script.job = lambda job, payload: job.dispatch_many(
        "sample_once", [("a", {}), ("k" * 1019, {})]
    )
    row = bench.run(bench.dispatch("sample_once"))
    assert row.error is not None
    assert row.error["kind"] == "NameTooLong"
    assert len(moto_direct.rows("jobs")) == 1


def test_children_that_are_not_reached_in_time_are_dispatched_by_the_next_attempt(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "THREADS", 1)
    began: list[int] = []

    def work(job: Any, payload: object) -> Any:
        if not began:
            outage.begin("throttled", seconds=900, only="PutItem")
        began.append(1)
        return len(job.dispatch_many("sample_once", [(str(each), {}) for each in range(3)]))

    script.job = work
    row = bench.run(bench.dispatch("sample_again"), seconds=60)
    assert not row.status.finished
    assert row.error["kind"] == "TimedOut"
    assert len(moto_direct.rows("jobs")) == 1
    outage.end()
    bench.advance(1000)
    assert bench.run(row).status is Status.SUCCEEDED
    assert len(moto_direct.rows("jobs")) == 4
