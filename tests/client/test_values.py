"""What the API tells comes as frozen values; importing the client stays cheap for a program."""

import copy
import inspect
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

import job_runners
from job_runners import Credentials, Job, Rate
from job_runners.client import errors
from job_runners.client.models import JobError, WaitsFor
from job_runners.client.organization_models import Schedule
from job_runners.client.queue_models import Place

# Dear to import, and of no use to a dispatch.
_DEAR = ("ast", "botocore", "dataclasses", "dis", "inspect", "pathlib", "tokenize", "xml")
_LATER = ("cli", "stack_outputs", "uploads")
_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _job(**more: Any) -> Job:
    return Job(**{"id": "j1", "job_type": "sync", "status": "queued", **more})


def test_importing_the_client_loads_nothing_that_is_dear() -> None:
    names = [*_DEAR, *(f"job_runners.{each}" for each in _LATER)]
    code = (
        "import json, sys; before = set(sys.modules); from job_runners import Client; "
        "Client(url='http://127.0.0.1'); print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    # -S: what an environment's .pth files import is not of the client's making.
    path = f"import sys; sys.path.insert(0, {_folder()!r}); "
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", path + code], capture_output=True, text=True, check=True
    )

    loaded = set(json.loads(ran.stdout))
    assert "job_runners.client.client" in loaded
    assert loaded & set(names) == set()


def _folder() -> str:
    return str(inspect.getfile(Job)).removesuffix("/job_runners/client/models.py")


def test_each_error_of_the_client_is_a_kind_of_one_that_the_package_has() -> None:
    raised = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, job_runners.JobRunnersError)
    }
    kinds = {each for each in raised if each.__name__ in job_runners.__all__}
    kinds -= {job_runners.JobRunnersError}  # all are of this kind
    others = raised - kinds - {job_runners.JobRunnersError}
    assert [each for each in others if not issubclass(each, tuple(kinds))] == []


def test_a_value_can_not_be_changed() -> None:
    job = _job()

    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'status'"):
        job.status = "failed"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot delete field 'status'"):
        del job.status
    assert job.status == "queued"


def test_a_job_equals_one_that_was_told_by_another_answer() -> None:
    job = _job(retry_after=1.0, raw={"id": "j1"})

    assert job == _job(retry_after=2.0, raw={})
    assert job != _job(status="running")
    assert Rate(1) != WaitsFor("queue", "mail")
    assert hash(job) == hash(_job())


def test_a_value_shows_what_may_be_seen() -> None:
    assert repr(Credentials("AKIA", "hush", "hush too")) == "Credentials(access_key='AKIA')"
    assert repr(Rate(3, burst=2)) == "Rate(count=3, seconds=1, burst=2)"
    assert "raw" not in repr(_job(raw={"secret": 1}))


def test_each_value_has_an_empty_answer_of_its_own() -> None:
    first, second = _job(), _job()

    assert first.raw == {}
    assert first.raw is not second.raw


@pytest.mark.parametrize(
    ("args", "named", "why"),
    [
        ((), {}, "'kind' is missing"),
        (("Boom", "no"), {"kind": "Boom"}, "'kind' is given twice"),
        (("Boom", "no"), {"colour": "red"}, "'colour' is unknown"),
        (("Boom", "no", None, None, None, None, None), {}, "JobError takes 6 positional arguments"),
    ],
)
def test_a_value_refuses_wrong_arguments(args: Any, named: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        JobError(*args, **named)


def test_a_job_is_made_by_names_alone() -> None:
    with pytest.raises(TypeError, match="Job takes 0 positional arguments"):
        Job("j1", "sync", "queued")  # type: ignore[call-arg,arg-type]


def test_a_value_can_be_copied_kept_and_matched() -> None:
    job = _job(error=JobError("Boom", "no", at=_AT), raw={"id": "j1"})

    assert copy.copy(job) == copy.deepcopy(job) == pickle.loads(pickle.dumps(job)) == job
    assert vars(pickle.loads(pickle.dumps(job))) == vars(job)
    match job.error:
        case JobError(kind, message):
            assert (kind, message) == ("Boom", "no")
        case _:
            pytest.fail("it has not matched")


def test_to_others_a_value_is_a_dataclass() -> None:
    job = _job(error=JobError("Boom", "no"), raw={"id": "j1"})

    assert is_dataclass(Job)
    assert is_dataclass(job)
    assert replace(job, status="failed") == _job(status="failed", error=job.error)
    assert replace(job, status="failed").raw == {"id": "j1"}
    assert asdict(Rate(3)) == {"raw": {}, "count": 3, "seconds": 1, "burst": 1}
    assert asdict(job)["error"]["kind"] == "Boom"
    named = {each.name: each for each in fields(Schedule)}
    assert list(named)[1:3] == ["name", "organization_id"]
    assert (named["raw"].repr, named["raw"].compare, named["raw"].kw_only) == (False, False, True)
    assert str(inspect.signature(Rate)).startswith("(count: int, seconds: float = 1, burst")
    assert list(inspect.signature(Place).parameters)[:2] == ["waits_for", "ahead"]


def test_a_program_may_have_a_class_of_its_own() -> None:
    class Ours(Job):
        def is_sync(self) -> bool:
            return self.job_type == "sync"

    @dataclass(frozen=True)
    class Tagged(WaitsFor):
        tag: str = "none"

    ours = Ours.of({"id": "j1", "job_type": "sync", "status": "running", "progress": 5})
    assert ours.is_sync()
    assert ours.progress == 5
    assert Tagged("queue", "mail", tag="red") == Tagged("queue", "mail", None, tag="red")
    assert Tagged("queue", "mail").name == "mail"
