"""The wheel that `make wheel` builds: what is in it, and that it is enough."""

import shlex
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from api_server import ApiServer
from fake_stack import OUTPUTS
from installed import run, run_in
from job_runners.building.build import ROOT
from job_runners.cli.stack import Stack

DISPATCH = """\
from job_runners import Client
client = Client(url={url!r})
job = client.wait(client.dispatch("sample_once", {{"number": 7}}))
print(job.get_result())
"""


def test_it_holds_job_runners_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {each.split("/")[0] for each in names} == {
        "job_runners",
        f"{wheel.name.rsplit('-', 3)[0]}.dist-info",
    }
    assert "job_runners/py.typed" in names
    assert wheel.stat().st_mode & 0o777 == 0o644
    assert any(each.endswith("/licenses/LICENSE") for each in names)
    tracked = {str(each.relative_to(ROOT)) for each in (ROOT / "job_runners").rglob("*.py")}
    assert {each for each in names if each.endswith(".py")} == tracked


def test_four_lines_dispatch_a_job_and_print_its_result(
    python: Path, api_server: ApiServer
) -> None:
    code = DISPATCH.format(url=api_server.url)
    done = run(python, "-W", "error", "-c", code, AWS_REGION="us-east-1")
    assert done.stdout == "{'number': 1}\n", done.stderr
    assert api_server.asked[0] == "POST /jobs"


def test_it_asks_for_no_other_package_and_brings_no_engine(python: Path) -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from job_runners import *\n"
        "top = {name.partition('.')[0] for name in sys.modules.keys() - before}\n"
        "print(sorted(top - set(sys.stdlib_module_names)))\n"
    )
    assert run(python, "-I", "-c", code).stdout == "['job_runners']\n"
    for room in ("settings", "jobs", "store", "work", "runners", "api"):
        assert run(python, "-c", f"import {room}").returncode == 1


@pytest.mark.parametrize("name", ["jobs", "job-runners"])
def test_the_command_says_what_to_install(python: Path, name: str) -> None:
    done = run(python.parent / name, "list")
    assert done.returncode == 1
    assert "pipx install 'dist/job_runners-….whl[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["jobs", "job-runners"])
def test_the_command_works_beside_its_packages(
    python: Path, name: str, api_server: ApiServer
) -> None:
    [packages] = {each for each in sys.path if each.endswith("site-packages")}
    done = run(
        python.parent / name,
        "dispatch",
        "sample_once",
        "--watch",
        JOBS_API_URL=api_server.url,
        AWS_REGION="us-east-1",
        PYTHONPATH=packages,
    )
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    assert f"{name}, " not in done.stderr
    assert name in run(python.parent / name, "--help", PYTHONPATH=packages).stdout
    shell = run(python.parent / name, "shell", "bash", PYTHONPATH=packages).stdout
    assert f'{shlex.quote(str(python.parent / name))} "$@"' in shell


def test_the_command_finds_the_local_aws_of_the_folder_it_is_called_in(
    python: Path, api_server: ApiServer, tmp_path: Path
) -> None:
    [packages] = {each for each in sys.path if each.endswith("site-packages")}
    inside, home = tmp_path / "docs", tmp_path / ".local"
    inside.mkdir()
    home.mkdir()
    (tmp_path / "samconfig.toml").touch()
    stack = Stack.from_outputs("job-runners", "us-east-1", OUTPUTS, api_server.url)
    replace(
        stack, api_url=api_server.url, aws_access_key_id="LOCAL", aws_secret_access_key="secret"
    ).save(home / "stack.json")
    words = (python.parent / "jobs", "dispatch", "sample_once")
    done = run_in(inside, *words, PYTHONPATH=packages)
    assert done.returncode == 0, done.stderr
    assert "on the local AWS" in done.stderr
    elsewhere = run(*words, PYTHONPATH=packages)
    assert "change to the folder in which you started make run" in elsewhere.stderr
