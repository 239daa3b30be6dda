"""Error groups: failed jobs are counted by what failed, and an end never depends on it."""

import zlib
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.settling import error_groups as counting
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.settings import settings
from job_runners.shipped.jobs import post_webhook
from job_runners.store import error_groups, limits, pauses, transitions
from job_runners.store.error_groups import ErrorGroup
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from outage import Outage
from sample_work import script
from telemetry_lines import emitted


def groups(organization_id: str = "acme") -> list[ErrorGroup]:
    """Return the groups once their list shows all recent writes."""
    clock.sleep(2)
    return error_groups.of_organization(organization_id).groups


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,failing_work")
    forget()
    return bench


def fail(bench: Bench, where: str = "here", job_type: str = "failing", **fields: Any) -> JobRequest:
    return bench.run(bench.dispatch(job_type, payload={"where": where}, **fields))


def test_jobs_that_fail_in_one_function_with_one_kind_of_error_are_one_group(bench: Bench) -> None:
    began = clock.now()
    first = fail(bench)
    bench.advance(60)
    last = fail(bench)
    (group,) = groups()
    assert (group.job_type, group.error_kind) == ("failing", "ValueError")
    assert group.frame == "failing_work:fail_here" == first.error["frame"]
    assert (group.failures, group.sample_job_id) == (2, last.id)
    assert 0 <= group.first_seen_at - began < 10_000
    assert 60_000 <= group.last_seen_at - group.first_seen_at < 70_000
    assert group.first_build == "unknown"  # in a checkout


def test_a_group_names_the_build_that_saw_it_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for build in ("one", "two"):
        monkeypatch.setattr(error_groups, "build_id", lambda build=build: build)
        fail(bench)
        bench.advance(60)
    (group,) = groups()
    assert (group.first_build, group.failures) == ("one", 2)


def test_another_type_kind_function_or_organization_is_another_group(bench: Bench) -> None:
    fail(bench)
    fail(bench, "read")
    fail(bench, "library")
    fail(bench, "kind")
    fail(bench, job_type="failing_too")
    fail(bench, organization_id="other")
    assert {(each.job_type, each.error_kind, each.frame) for each in groups()} == {
        ("failing", "ValueError", "failing_work:fail_here"),
        ("failing", "JSONDecodeError", "failing_work:Importer.read"),
        ("failing", "ValidationError", "failing_work:failing"),
        ("failing", "LookupError", "failing_work:failing"),
        ("failing_too", "ValueError", "failing_work:fail_here"),
    }
    (other,) = groups("other")
    assert other.id not in {each.id for each in groups()}


@pytest.mark.parametrize("payload", [None, zlib.compress(b"{")])
def test_a_failure_before_the_function_is_called_names_no_function(
    bench: Bench, payload: bytes | None
) -> None:
    row = bench.dispatch("failing", payload={})
    if payload is not None:
        row.update([JobRequest.payload.set(payload)])
    else:
        row.update([JobRequest.payload.remove(), JobRequest.payload_key.set("gone")])
    row = bench.run(row)
    assert row.error is not None, row.status
    assert row.error.get("frame") is None


def test_a_built_in_job_fails_in_its_own_function(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(*_: object) -> None:
        raise ConnectionError("no luck")

    monkeypatch.setattr(post_webhook, "post_event", post)
    payload = {"url": "https://hooks.example.com", "secret": "acme/main", "body": {}}
    row = bench.run(bench.dispatch("post_webhook", payload=payload))
    assert row.error["frame"] == "job_runners.shipped.jobs.post_webhook:post_webhook"


def rescue(bench: Bench, row: JobRequest) -> None:
    bench.claim(row)
    bench.advance(1000)
    bench.tick()


def expire(bench: Bench, row: JobRequest) -> None:
    bench.advance(25 * 3600)
    bench.tick()


def settle_its_record(bench: Bench, row: JobRequest) -> None:
    message = JobMessage.about(row)
    deadline = clock.now() + 900_000
    transitions.claim(row.id, job_type=row.job_type, send_id=message.send_id, deadline=deadline)
    handle_record({"requestPayload": encode(message)}, bench.send)


@pytest.mark.parametrize(
    ("end", "kind"),
    [(rescue, "Interrupted"), (settle_its_record, "Interrupted"), (expire, "NeverStarted")],
)
def test_a_failure_that_no_worker_reports_is_counted_too(
    bench: Bench, end: Callable[[Bench, JobRequest], None], kind: str
) -> None:
    row = bench.dispatch("sample_once")
    end(bench, row)
    (group,) = groups()
    assert (group.error_kind, group.frame, group.sample_job_id) == (kind, None, row.id)


def test_only_failures_are_counted(bench: Bench) -> None:
    assert fail(bench, "nowhere").status is Status.SUCCEEDED

    def no_luck(job: object, payload: object) -> None:
        raise ValueError("no luck")

    script.job = no_luck
    assert bench.run(bench.dispatch("sample_again")).status is Status.RETRYABLE
    assert moto_direct.rows("coordination") == []


def test_a_process_writes_a_group_once_a_second_and_counts_the_others_later(bench: Bench) -> None:
    for _ in range(3):
        fail(bench)
        fail(bench, "kind")
    assert [each.failures for each in groups()] == [1, 1]
    bench.advance(1)
    fail(bench)
    fail(bench, "kind")
    assert [each.failures for each in groups()] == [4, 4]


def test_a_process_remembers_a_limited_number_of_groups(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_MAX_CACHED", 2)
    for where in ("here", "read", "kind"):
        fail(bench, where)
    assert len(groups()) == 3
    assert len(counting._state.last_writes) == 1


def test_a_new_group_is_reported_once(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    settings.cache_clear()
    for _ in range(3):
        fail(bench)
        bench.advance(60)
    assert reported(capsys) == 1
    error_groups.change(groups()[0], {"resolved": True}, by="service:ada")
    assert reported(capsys) == 0
    bench.advance(1)
    fail(bench)  # a resolved group that fails again is reported again
    bench.advance(60)
    fail(bench)
    assert reported(capsys) == 1
    (group,) = groups()
    assert (group.resolved_at, group.resolved_by) == (None, None)
    assert group.regressed_at is not None
    assert 60_000 <= clock.now() - group.regressed_at < 63_000
    assert group.failures == 5
    events = [each for each in caplog.messages if "error group" in each]
    assert events == ["new error group", "resolved error group is back"]


def reported(capsys: pytest.CaptureFixture[str]) -> int:
    return sum(int(values.get("NewFailures", 0)) for _, values in emitted(capsys))


def test_a_job_that_failed_before_its_group_was_resolved_is_no_regression(bench: Bench) -> None:
    row = fail(bench)
    bench.advance(2)
    error_groups.change(groups()[0], {"resolved": True}, by=None)
    counting.count_failure(row)
    assert (groups()[0].failures, groups()[0].regressed_at) == (2, None)


@pytest.mark.parametrize("kind", [*Outage.KINDS, "refused"])
def test_an_end_does_not_depend_on_its_group(
    bench: Bench,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    """AWS is away once the end is recorded."""
    log_end, ended = telemetry.attempt_failed, []

    def then_away(row: JobRequest, error: BaseException) -> None:
        log_end(row, error)
        ended.append(row)
        outage.begin(kind, 3600)

    monkeypatch.setattr(telemetry, "attempt_failed", then_away)
    row = bench.dispatch("failing", payload={})
    run(bench, row)
    assert outage.calls == ["UpdateItem"]  # tried once
    counting.count_failure(ended[0])  # and not again for 10 s
    assert outage.calls == ["UpdateItem"]
    outage.end()
    assert bench.read(row).error["kind"] == "ValueError"
    assert [each.failures for each in groups()] == ([1] if kind == "unheard" else [])
    bench.advance(10)
    counting.count_failure(bench.read(row))
    assert [each.failures for each in groups()] == [4 if kind == "unheard" else 3]
    new = [record for record in caplog.records if record.message == "new error group"]
    assert len(new) == 1


def run(bench: Bench, row: JobRequest) -> None:
    """Run a job, and read nothing afterwards."""
    bench.run_message(JobMessage.about(row))


def test_a_group_outlives_its_last_job(bench: Bench) -> None:
    row = fail(bench)
    (group,) = groups()
    assert row.expires_at is not None
    assert group.expires_at > row.expires_at + 86_400
    bench.advance(group.expires_at - clock.now() // 1000)
    assert groups() == []  # TTL deletes late


def test_a_failure_costs_one_more_unit_and_a_success_none(bench: Bench) -> None:
    limits.current(), pauses.current()
    units = Units()

    def life(where: str) -> tuple[int, int]:
        run(bench, bench.dispatch("failing", payload={"where": where}))
        spent, units.reads = (units.spent(), units.reads), 0
        return spent

    assert life("nowhere") == (6, 0)
    counted, _ = life("here")
    not_counted, reads = life("here")  # within the same second
    assert (counted - not_counted, reads) == (1, 0)


def test_a_long_frame_is_cut_in_the_fingerprint() -> None:
    error = {"kind": "ValueError", "frame": "f" * 10_000}
    frame = error_groups.fingerprint_of(JobRequest("j", job_type="failing", error=error)).frame
    assert frame is not None
    assert len(frame) < 1_000
