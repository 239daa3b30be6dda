"""A deployed project goes to the next version of Job Runners and back, while jobs run and wait."""

import time
from pathlib import Path
from typing import Any

import pytest

from deployed_versions import DeployedVersions
from job_runners import __version__, clock
from newcomers import NEXT, Newcomer, new_newcomer

# It starts a local AWS of its own: next to the one that most tests share, and not next to a third.
# Each deploy builds for AWS, three times.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.more,
    pytest.mark.nightly,
    pytest.mark.xdist_group("local AWS, enforcing"),
    pytest.mark.timeout(1200),
]

STACK_NAME = "lists"
# Each result names the versions that ran the job.
WORK = """
import time
from pathlib import Path

from job_runners import __version__
from job_runners.work import Job, Member, Queue, RunningJob
from pydantic import BaseModel

class Letter(BaseModel):
    wait_for: str = ""

def letter(job: RunningJob, payload: Letter) -> dict[str, str]:
    while payload.wait_for and not Path(payload.wait_for).exists():
        time.sleep(0.02)
    return {"by": __version__}

def sleeper(job: RunningJob, payload: Letter) -> dict[str, str]:
    began = job.step("began", lambda: __version__)
    job.sleep("nap", 86_400)
    return {"began": began, "by": __version__}

def mailing(job: RunningJob, payload: Letter) -> dict[str, str]:
    began = job.step("began", lambda: __version__)
    members = [Member("letter", {"wait_for": each}) for each in (payload.wait_for, "")]
    held, free = [each.value["by"] for each in job.gather("letters", members)]
    return {"began": began, "by": __version__, "held": held, "free": free}

def asker(job: RunningJob, payload: Letter) -> dict[str, str]:
    began = job.step("began", lambda: __version__)
    answer = job.wait_for("answer", timeout=86_400)
    return {"began": began, "by": __version__, "answer": answer}

JOBS = {
    "asker": Job(asker),
    "letter": Job(letter),
    "paused": Job(letter),
    "posted": Job(letter, queue_name="post"),
    "sleeper": Job(sleeper),
    "mailing": Job(mailing),
}
QUEUES = {"post": Queue(slots=1)}
"""


@pytest.fixture(scope="module")
def project(
    wheel: Path, versions: DeployedVersions, tmp_path_factory: pytest.TempPathFactory
) -> Newcomer:
    """Deploy a new project from the environment of the wheel."""
    newcomer = new_newcomer(wheel, tmp_path_factory.mktemp("newcomer"))
    project = versions.new_project(newcomer, STACK_NAME, WORK)
    versions.deploy_project(project)
    return project


def waits_for(versions: DeployedVersions, job_id: str, kind: str) -> None:
    """Wait until a job waits in this way."""
    versions.wait_for(job_id, lambda job: (job.get("waits_for") or {}).get("kind") == kind)


def in_flight(versions: DeployedVersions, go: Path) -> dict[str, str]:
    """Return a job in each state that a deploy may find. Some end when the file is there."""
    held = {"wait_for": str(go)}
    jobs = {
        "running": versions.dispatch("letter", held),
        "scheduled": versions.dispatch("letter", delay=3600),
        "in a group": versions.dispatch("mailing", held),
        "slot": versions.dispatch("posted", held),
    }
    for name in ("running", "slot"):
        versions.reach(jobs[name], "running")
    jobs["in line"] = versions.dispatch("posted", held)
    waits_for(versions, jobs["in line"], "line")
    waits_for(versions, jobs["in a group"], "group")
    jobs["asking"] = versions.dispatch("asker")
    waits_for(versions, jobs["asking"], "signal")
    assert versions.api.put("/paused/job_type/paused", {}).status == 200
    time.sleep(10)  # by then, every worker has read the pause
    jobs["paused"] = versions.dispatch("paused")
    versions.reach(jobs["paused"], "waiting")
    jobs["sleeping"] = versions.dispatch("sleeper")
    waits_for(versions, jobs["sleeping"], "time")
    return jobs


def check_deploy(
    project: Newcomer, versions: DeployedVersions, go: Path, wanted: Path, old: str, new: str
) -> None:
    """Deploy while jobs run and wait: the running job ends on the version that it began on."""
    jobs = in_flight(versions, go)
    table = versions.stack.table_name
    project.add_wheel(wanted)
    versions.deploy_project(project)
    assert versions.stack.table_name == table  # it is the same stack
    for name in ("sleeping", "in line", "in a group", "asking", "paused", "scheduled"):
        assert versions.job(jobs[name])["status"] in ("waiting", "scheduled"), name
    go.touch()
    answered = versions.api.put(f"/jobs/{jobs['asking']}/signals/answer", {"value": "yes"})
    assert answered.status == 200, answered.text
    assert versions.api.delete("/paused/job_type/paused").status == 204
    versions.as_if_earlier(jobs["scheduled"], clock.HOUR)
    versions.end_sleep(jobs["sleeping"], "nap")

    def result(name: str) -> Any:
        return versions.reach(jobs[name])["result"]

    assert result("running") == result("slot") == {"by": old}
    assert result("in line") == result("scheduled") == result("paused") == {"by": new}
    assert result("asking") == {"began": old, "by": new, "answer": "yes"}
    assert result("sleeping") == {"began": old, "by": new}
    assert result("in a group") == {"began": old, "by": new, "held": old, "free": old}


def test_it_goes_to_the_next_version(
    versions: DeployedVersions, project: Newcomer, next_wheel: Path, tmp_path: Path
) -> None:
    done = project.jobs("dispatch", "letter", "--watch", "--stack", STACK_NAME)
    assert "succeeded" in done
    check_deploy(project, versions, tmp_path / "go", next_wheel, __version__, NEXT)


def test_it_goes_back(
    versions: DeployedVersions, project: Newcomer, wheel: Path, tmp_path: Path
) -> None:
    later, newer = (versions.dispatch("letter", delay=7200) for _ in range(2))
    for each in (later, newer):  # the next version's rows have one attribute more
        assert versions.row(each)["written_by"] == {"S": NEXT}
    versions.set(newer, row_version=2)  # as if this version would get it wrong
    check_deploy(project, versions, tmp_path / "go", wheel, NEXT, __version__)
    for each in (newer, later):
        versions.as_if_earlier(each, 2 * clock.HOUR)
    assert versions.reach(later)["result"] == {"by": __version__}
    assert versions.row(later)["written_by"] == {"S": NEXT}
    assert versions.job(newer)["status"] == "scheduled"
