"""erase: all that a stack keeps of one organisation is gone, and nothing of another's."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import Result

from bench import Bench
from fake_stack import OUTPUTS, REGION
from gathering_job import Gathering
from job_runners import clock, store
from job_runners.aws import bucket, clients
from job_runners.cli import local_aws
from job_runners.cli.problem import Exit
from job_runners.cli.stack import Stack
from job_runners.engine.schedules import schedules
from job_runners.erasing import files, organization
from job_runners.erasing.organization import Organization
from job_runners.store import caller_transitions, limits, queries, steps, webhooks
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.schedule_marks import PARTITION
from job_runners.store.table import CoordinationItem, Table
from job_runners.testing import moto_direct
from job_runners.testing.plain_clients import full_client
from job_runners.work import Recurring, WaitTimedOut
from job_runners.work import files as job_files
from jobs_command import jobs
from sample_work import script

LARGE = {"text": "".join(chr(0x4E00 + number % 20_000) for number in range(30_000))}


@pytest.fixture(autouse=True)
def stack(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Yield a stack whose tables and bucket are those of this process."""
    stack = Stack.from_outputs("job-runners", REGION, OUTPUTS)
    monkeypatch.setattr(local_aws, "running_stack", lambda: stack)
    # The index of this AWS lags behind nothing.
    monkeypatch.setattr(organization, "_SECONDS_BETWEEN_PASSES", 0)
    monkeypatch.setattr(organization, "_THREADS", 1)  # moto lists no versions beside a delete
    monkeypatch.delenv("JOBS_API_URL", raising=False)
    monkeypatch.setattr(clients, "_session", None)  # until the command sets its own
    yield stack
    clients.drop_clients()


def erase(*words: str, name: str = "acme") -> Result:
    return jobs("erase", "--organization", name, *words)


def live(bench: Bench, organization_id: str, **fields: Any) -> JobRequest:
    """Return a job that is done: with a step, a large payload, a large result and a file."""

    def work(job: Any, payload: object) -> object:
        job.step("a step", lambda: LARGE)
        with pytest.raises(WaitTimedOut):
            job.wait_for("approval", timeout=0)
        job.signal_url("consent", text="?", timeout=0)
        bucket.put_bytes(f"results/{organization_id}/{job.id}/list.csv", b"people")
        return LARGE

    script.job = work
    row = bench.dispatch("sample_once", organization_id=organization_id, payload=LARGE, **fields)
    assert bench.run(row).status is Status.SUCCEEDED
    bucket.put_bytes(f"uploads/{organization_id}/people.csv", b"people")
    bucket.delete(f"uploads/{organization_id}/people.csv")  # which hides it
    return bench.read(row)


def everything(of: str) -> list[str]:
    """Return whatever there is in which a name stands, or the keys of its jobs."""
    found = []
    for table in ("jobs", "coordination"):
        found += [f"{table}: {row}" for row in moto_direct.rows(table) if of in str(row)]
    listed = full_client("s3").list_object_versions(Bucket="bucket")
    kept = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    return found + [each["Key"] for each in kept if of in each["Key"]]


def test_nothing_of_it_is_left_and_all_of_another(bench: Bench) -> None:
    limits.put("shared", slots=1)
    rows = [live(bench, "acme", queue_name="shared") for _ in range(3)]
    theirs = live(bench, "other")
    for whose in ("acme", "other"):
        webhooks.put(whose, "crm", by=None, url="https://a.test", secret=f"{whose}/main")
    assert steps.find(theirs, "step a step") is not None
    before = everything("other")
    assert everything("acme")
    done = erase("--yes")
    assert done.exit_code == 0, done.output
    assert "Erased acme from stack job-runners: jobs 3, steps 9, signals 6, " in done.stdout
    for what in ("acme", *(row.created_key for row in rows), *(row.id for row in rows)):
        assert everything(what) == []
    assert everything("other") == before
    assert bench.read(theirs).result_key is not None
    assert steps.find(theirs, "step a step") is not None


def test_its_schedules_go_first_and_others_stay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase_jobs = Organization._erase_jobs

    def then_jobs(self: Organization, progress: Any) -> None:
        assert everything("acme") == []  # nothing dispatches more of them meanwhile
        erase_jobs(self, progress)

    monkeypatch.setattr(Organization, "_erase_jobs", then_jobs)
    for whose, name in (("acme", "nightly"), ("acme", "deleted"), ("other", "nightly")):
        hourly = Recurring(
            "sample_once", every=3600, organization_id=whose, payload={"text": "acme"}
        )
        schedules.put(whose, name, hourly)
    schedules.delete("acme", "deleted")
    before = everything("other")
    done = erase("--yes")
    assert done.exit_code == 0, done.output
    assert "schedules 2" in done.stdout
    assert everything("acme") == []
    assert everything("other") == before


def test_it_is_refused_while_jobs_are_not_finished_and_names_ten(bench: Bench) -> None:
    live(bench, "acme")
    waiting = [bench.dispatch("sample_once") for _ in range(12)]
    before = everything("acme")
    done = erase("--yes")
    assert done.exit_code == Exit.REFUSED
    named = [row.id for row in waiting if row.id in done.stderr]
    assert len(named) == 10
    assert f"{named[0]} sample_once queued" in done.stderr
    assert "and more" in done.stderr
    assert everything("acme") == before


def test_one_that_was_cut_off_is_gone_on_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [live(bench, "acme") for _ in range(3)]
    whole, calls = files.delete_versions, []

    def cut_off(folder: str) -> int:
        calls.append(folder)
        if len(calls) == 5:
            raise EndpointConnectionError(endpoint_url="https://s3")
        return whole(folder)

    monkeypatch.setattr(files, "delete_versions", cut_off)
    assert erase("--yes").exit_code == Exit.NO_ANSWER
    left = [row for row in rows if queries.read(row.id)]
    assert left  # each of them leads to what is left of it
    for row in rows:
        if row not in left:
            assert all("results/" in each for each in everything(row.created_key))
    monkeypatch.setattr(files, "delete_versions", whole)
    assert erase("--yes").exit_code == 0
    assert everything("acme") == []
    for row in rows:
        assert everything(row.created_key) == []
    done = erase("--yes")
    assert "nothing was left" in done.stdout


def cut_off_at_the_uploads(patch: pytest.MonkeyPatch) -> None:
    """Have the connection fail after the last job is gone."""
    whole = files.delete_versions

    def cut_off(folder: str) -> int:
        if folder.startswith("uploads/"):
            raise EndpointConnectionError(endpoint_url="https://s3")
        return whole(folder)

    patch.setattr(files, "delete_versions", cut_off)


def one_comes_after_the_first_is_gone(bench: Bench, patch: pytest.MonkeyPatch) -> list[JobRequest]:
    """Have a job come once, meanwhile: the list that is returned has it then."""
    delete_row, came = caller_transitions.delete_row, list[JobRequest]()

    def then_one_comes(row: JobRequest) -> None:
        delete_row(row)
        if not came:
            came.append(bench.dispatch("sample_once"))

    patch.setattr(caller_transitions, "delete_row", then_one_comes)
    return came


@pytest.mark.parametrize("how", ["cut off", "ended early"])
def test_lines_do_not_outlive_the_rows_that_lead_to_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    live(bench, "acme", queue_name="sample_organizations")
    live(bench, "acme", queue_name="sample_fair")
    assert [each for each in everything("acme") if "coordination" in each]
    with monkeypatch.context() as patch:
        if how == "cut off":
            cut_off_at_the_uploads(patch)
            assert erase("--yes").exit_code == Exit.NO_ANSWER
        else:
            came = one_comes_after_the_first_is_gone(bench, patch)
            assert erase("--yes").exit_code == Exit.REFUSED
            bench.run(came[0])
    done = erase("--yes")
    assert done.exit_code == 0, done.output
    assert everything("acme") == []


def subclasses(kind: type[Table]) -> set[type[Table]]:
    found = set(kind.__subclasses__())
    return found.union(*map(subclasses, found))


def test_each_folder_from_which_jobs_read_is_erased(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_files, "FOLDERS", (*job_files.FOLDERS, "reports"))
    for name in ("acme", "other"):
        bucket.put_bytes(f"reports/{name}/a.txt", b"x")
    done = erase("--yes")
    assert done.exit_code == 0, done.output
    listed = full_client("s3").list_object_versions(Bucket="bucket")
    assert [each["Key"] for each in listed["Versions"]] == ["reports/other/a.txt"]


def store_models() -> set[type[Table]]:
    """Return the models of all modules of the store."""
    for module in pkgutil.walk_packages(store.__path__, "job_runners.store."):
        importlib.import_module(module.name)
    found = {each for each in subclasses(Table) if each.__module__.startswith(store.__name__)}
    return found - {CoordinationItem}


def test_each_module_of_the_store_says_how_its_records_are_erased() -> None:
    silent = {
        kind for kind in store_models() if not vars(kind).keys() & {"counted_as", "how_erased"}
    }
    assert silent == set()


def test_nothing_is_left_in_the_store_but_what_its_modules_keep(bench: Bench) -> None:
    gathering = Gathering(bench, 2)
    gathering.fails = {1}
    gathering.start()
    bench.deliver()
    live(bench, "acme", queue_name="sample_organizations")
    webhooks.put("acme", "crm", by=None, url="https://a.test", secret="acme/main")
    schedules.put("acme", "hourly", Recurring("sample_once", every=3600, organization_id="acme"))
    kept = [row["pk"] for row in moto_direct.rows("coordination")]
    beginnings = {"step#", "signal#", "link#", "group#", "line#", "keys#"}
    own = [each.partition_of for each in store_models()]
    beginnings |= {partition_of("acme") for partition_of in own if partition_of}
    assert len(beginnings) >= 10
    # A queue whose keys are organizations has no keys of one organization.
    for beginning in beginnings - {"keys_of#acme"}:
        assert any(each.startswith(beginning) for each in kept), beginning
    done = erase("--yes")
    assert done.exit_code == 0, done.output
    assert moto_direct.rows("jobs") == []
    assert [row["pk"] for row in moto_direct.rows("coordination")] == [PARTITION]
    listed = full_client("s3").list_object_versions(Bucket="bucket")
    assert not {"Versions", "DeleteMarkers"} & set(listed)


def test_a_job_that_is_retried_meanwhile_stays_and_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("sample_once")
    caller_transitions.cancel(bench.read(row))
    delete_row = caller_transitions.delete_row

    def retried(read: JobRequest) -> None:
        caller_transitions.requeue(bench.read(row), max_attempts=1)
        delete_row(read)

    monkeypatch.setattr(caller_transitions, "delete_row", retried)
    done = erase("--yes")
    assert done.exit_code == Exit.REFUSED
    assert row.id in done.stderr
    assert bench.read(row).status is Status.QUEUED


def test_steps_and_payloads_from_before_a_retry_with_another_go_too(bench: Bench) -> None:
    def fail(job: Any, payload: object) -> None:
        job.step("a step", lambda: LARGE)
        raise ValueError("no luck")

    script.job = fail
    row = bench.dispatch("sample_once", payload=LARGE)
    for number in (1, 2):
        assert bench.run(row).status is Status.FAILED
        again = {"text": LARGE["text"] + str(number)}
        caller_transitions.requeue(bench.read(row), max_attempts=1, payload=again)
    assert bench.run(row).status is Status.FAILED
    found = [each for each in everything(row.created_key) if "step#" in each]
    assert len(found) == 3 + 2  # two manual retries are among them
    assert erase("--yes").exit_code == 0
    assert everything(row.created_key) == []


def test_its_name_leaves_the_slots_of_others_and_its_own_line_goes(bench: Bench) -> None:
    live(bench, "acme", queue_name="sample_organizations")
    live(bench, "other", queue_name="sample_organizations")
    for queue_name in ("sample_fair", "sample_texts", "sample_campaigns", "sample_paced"):
        live(bench, "acme", queue_name=queue_name)
    assert any("line#" in each for each in everything("acme"))
    assert any("keys_of#" in each for each in everything("acme"))
    erase("--yes")
    assert everything("acme") == []
    assert any("line#sample_organizations#other" in each for each in everything("other"))
    live(bench, "other", queue_name="sample_fair")  # the line works on


@pytest.mark.parametrize("name", ["a" * 100, "*", "h-" + "0" * 32])
def test_a_line_whose_key_is_the_hash_of_a_name_goes_too(bench: Bench, name: str) -> None:
    live(bench, name, queue_name="sample_organizations")
    live(bench, "other", queue_name="sample_organizations")
    live(bench, "other", queue_name="sample_fair")
    keys = {row["pk"] for row in moto_direct.rows("coordination")}
    hashed = next(each for each in keys if each.startswith("line#sample_organizations#h-"))
    done = erase("--yes", name=name)
    assert done.exit_code == 0, done.output
    key = hashed.rpartition("#")[2]
    left = [(row["pk"], row["sk"]) for row in moto_direct.rows("coordination")]
    assert not [each for each in left if key in str(each)]
    assert ("line#sample_organizations#other", "slot#001") in left
    assert ("line#sample_fair#*", "slot#001") in left


def test_without_a_name_on_the_command_line_it_asks_for_one() -> None:
    for done in (jobs("erase", "--yes"), jobs("erase", "--yes", JOBS_ORGANIZATION="acme")):
        assert done.exit_code == Exit.USAGE
        assert "--organization" in done.stderr


@pytest.mark.parametrize("name", ["other/results", "other#spring", "/"])
def test_a_name_that_reaches_into_anothers_is_refused(bench: Bench, name: str) -> None:
    bucket.put_bytes("uploads/other/results/list.csv", b"people")
    done = erase("--yes", name=name)
    assert done.exit_code == Exit.USAGE
    assert bucket.get_bytes("uploads/other/results/list.csv")


def test_it_asks_for_the_name_and_where_nobody_can_answer_for_yes(bench: Bench) -> None:
    live(bench, "acme")
    done = erase()
    assert done.exit_code == Exit.USAGE
    assert "1 jobs" in done.stderr
    assert everything("acme")


@pytest.mark.parametrize(
    ("typed", "code"), [("acme", 0), ("acm", Exit.REFUSED), ("", Exit.REFUSED)]
)
def test_only_its_name_is_a_yes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    row = live(bench, "acme")
    monkeypatch.setattr("job_runners.cli.for_each_job.can_ask", lambda: True)
    done = jobs("erase", "--organization", "acme", stdin=f"{typed}\n")
    assert done.exit_code == code
    assert (queries.read(row.id) is None) == (code == 0)


def test_for_a_program_it_is_json(bench: Bench) -> None:
    live(bench, "acme")
    found = json.loads(erase("--yes", "--json").stdout)
    assert found["organization_id"] == "acme"
    assert found["removed"]["jobs"] == 1
    assert found["removed"]["steps"] == 3
    assert found["removed"]["file versions"] == 6


def test_rows_that_have_expired_and_are_still_there_go_too(bench: Bench) -> None:
    row = live(bench, "acme")
    bench.advance(40 * clock.DAY // clock.SECOND)
    assert queries.read(row.id) is None
    erase("--yes")
    assert everything("acme") == []


def test_what_dynamodb_had_no_room_for_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = live(bench, "acme")
    real = BaseClient._make_api_call  # type: ignore[attr-defined]
    turned_away: list[str] = []

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        if operation.startswith("Batch") and operation not in turned_away:
            turned_away.append(operation)
            left = "UnprocessedKeys" if "Get" in operation else "UnprocessedItems"
            return {left: arguments["RequestItems"], "Responses": {"jobs": []}}
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    assert erase("--yes").exit_code == 0
    assert turned_away == ["BatchGetItem", "BatchWriteItem"]
    assert everything("acme") == everything(row.created_key) == []


@pytest.mark.parametrize(
    ("answers", "says", "code"),
    [
        ("none", "AWS is busy", Exit.NO_ANSWER),
        ("refused", "no permission for BatchWriteItem", Exit.NO_ACCESS),
    ],
)
def test_what_dynamodb_does_not_delete_is_explained(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, answers: str, says: str, code: int
) -> None:
    row = live(bench, "acme")
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        if operation != "BatchWriteItem":
            return real(self, operation, arguments)
        if answers == "none":
            return {"UnprocessedItems": arguments["RequestItems"]}
        error: Any = {"Code": "AccessDeniedException", "Message": "not allowed"}
        raise ClientError({"Error": error}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    done = erase("--yes")
    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert queries.read(row.id)


def test_a_file_that_cannot_be_deleted_is_named_and_its_row_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = live(bench, "acme")
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        if operation == "DeleteObjects":
            return {"Errors": [{"Key": row.payload_key, "Code": "AccessDenied"}]}
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    done = erase("--yes")
    assert done.exit_code == Exit.REFUSED
    assert f"{row.payload_key}: AccessDenied" in done.stderr
    assert queries.read(row.id)


def test_it_never_scans(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    live(bench, "acme")
    asked: set[str] = set()
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        asked.add(operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    assert erase("--yes").exit_code == 0
    # What docs/operate/data.md has the permissions for.
    assert asked == {
        *("Query", "BatchGetItem", "BatchWriteItem", "DeleteItem"),
        *("ListObjectVersions", "DeleteObjects", "ListMultipartUploads"),
    }
