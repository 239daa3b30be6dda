"""Packages of a private index, one of them native, with a lock of uv and one of pip: to the end."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployed_versions import DeployedVersions
from job_runners.places import CODE
from newcomers import Newcomer, new_newcomer
from package_index import (
    PASSWORD,
    USER,
    PackageIndex,
    index_of_this_environment,
    package_index,
    repacked,
    write_wheel,
)

# It starts a local AWS of its own: next to the one that most tests share, and not next to a third.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.more,
    pytest.mark.nightly,
    pytest.mark.xdist_group("local AWS, enforcing"),
    pytest.mark.timeout(900),
]

NAME = "lists"
WORK = """
from acme_secrets import SECRET
from markupsafe import _speedups, escape
from pydantic import BaseModel

from job_runners.work import Job, RunningJob

class Letter(BaseModel):
    text: str

def letter(job: RunningJob, payload: Letter) -> dict[str, str]:
    return {"text": str(escape(payload.text)), "secret": SECRET, "native": _speedups.__file__[-3:]}

JOBS = {"letter": Job(letter)}
"""
INDEX = """
[[tool.uv.index]]
name = "private"
url = "{}"
explicit = true
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageIndex]:
    folder = tmp_path_factory.mktemp("served")
    write_wheel(folder, "acme-secrets", code="SECRET = 'seven'\n")
    repacked("markupsafe", folder)
    with package_index(folder) as found:
        yield found


@pytest.fixture(scope="module")
def project(
    wheel: Path, versions: DeployedVersions, tmp_path_factory: pytest.TempPathFactory
) -> Newcomer:
    """Return a project that isn't deployed, whose public index has our packages."""
    folder = tmp_path_factory.mktemp("newcomer")
    newcomer = new_newcomer(wheel, folder)
    lock = CODE / "requirements" / "runtime.txt"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += [
        "--only-binary",
        ":all:",
        "--requirement",
        str(lock),
        "--dest",
        str(folder / "real"),
    ]
    subprocess.run(command, check=True)
    real = index_of_this_environment(folder / "public", (folder / "real").iterdir())
    newcomer = replace(newcomer, index=real)
    (newcomer.cache / "job-runners" / "build").unlink()  # builds of this test are for it alone
    ours = {"UV_OFFLINE": "0", "UV_CACHE_DIR": str(folder / "uv")}
    person = versions.new_project(newcomer, NAME, WORK, **ours)
    shutil.rmtree(person.folder / "tests")
    return person


def result_after_deploy(project: Newcomer, versions: DeployedVersions) -> dict[str, str]:
    versions.deploy_project(project)
    ended = versions.reach(versions.dispatch("letter", {"text": "<b>"}))
    found_result: dict[str, str] = ended["result"]
    return found_result


EXPECTED = {"text": "&lt;b&gt;", "secret": "seven", "native": ".so"}


def test_a_lock_of_uv(project: Newcomer, versions: DeployedVersions, index: PackageIndex) -> None:
    pyproject = project.folder / "pyproject.toml"
    names = ("acme-secrets", "markupsafe")
    sources = "".join(f'{each} = {{ index = "private" }}\n' for each in names)
    text = pyproject.read_text().replace("[tool.uv.sources]\n", f"[tool.uv.sources]\n{sources}")
    pyproject.write_text(text + INDEX.format(index.url))
    words = {"UV_INDEX_PRIVATE_USERNAME": USER, "UV_INDEX_PRIVATE_PASSWORD": PASSWORD}
    project = replace(project, variables=project.variables | words)
    project.uv("add", *names)
    assert PASSWORD not in (project.folder / "uv.lock").read_text()
    assert result_after_deploy(project, versions) == EXPECTED
    assert any("acme_secrets-1.0" in each for each in index.asked)


def test_a_lock_of_pip(project: Newcomer, versions: DeployedVersions, index: PackageIndex) -> None:
    for name in ("pyproject.toml", "uv.lock"):
        (project.folder / name).unlink(missing_ok=True)
    lines = []
    for file in index.wheels.iterdir():
        name, version, *_ = file.name.split("-")
        lines.append(
            f"{name}=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        )
    (project.folder / "requirements.txt").write_text("".join(lines))
    cache = str(project.folder.parent / "another cache of uv")
    words = {"PIP_EXTRA_INDEX_URL": index.url_with_password, "UV_CACHE_DIR": cache}
    project = replace(project, variables=project.variables | words)
    private = replace(project, variables=project.variables | {"UV_INDEX": index.url_with_password})
    private.uv("pip", "install", "--python", str(project.python), "-r", "requirements.txt")
    index.asked.clear()
    assert result_after_deploy(project, versions) == EXPECTED
    assert any("acme_secrets-1.0" in each for each in index.asked)
