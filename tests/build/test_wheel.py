"""The wheel that `make wheel` builds: what is in it, and that it is enough."""

import email
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from api_server import ApiServer
from fake_stack import OUTPUTS
from installed import run, run_in
from job_runners import __version__
from job_runners.cli.stack import Stack
from job_runners.places import ROOT
from needed_packages import needed
from released_code import pack, unpack

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
    assert any(each.endswith("/licenses/LICENSE") for each in names)
    folders = (ROOT / "job_runners", ROOT / "handlers", ROOT / "runners")
    code = {each for folder in folders for each in folder.rglob("*.py")}
    tracked = {each.relative_to(ROOT) for each in code}
    assert {each for each in names if each.endswith(".py")} == {
        str(each if each.parts[0] == "job_runners" else Path("job_runners") / each)
        for each in tracked
    }


def test_it_has_the_files_that_a_build_and_a_deploy_need(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    for name in ("template.yaml", "requirements/runtime.txt", "requirements/aws.txt"):
        shipped = archive.read(f"job_runners/data/{name}")
        assert shipped == (ROOT / name).read_bytes()


def test_it_brings_no_emulator_and_a_first_build_installs_none(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    for name in archive.namelist():
        assert b"ministack" not in archive.read(name).lower(), name
    users = archive.read("job_runners/data/requirements/aws.txt").decode()
    assert _pins(users) < _pins((ROOT / "requirements" / "emulator.txt").read_text())
    assert "aws-sam-cli" in users
    assert "cfn-lint" in users


def _pins(lock: str) -> set[str]:
    """Return what a lock pins. Tests of builds and deploys use the versions that users get."""
    return set(re.findall(r"^[\w-]+==\S+", lock, re.MULTILINE))


def test_it_has_only_the_sample_events_that_its_code_reads(wheel: Path) -> None:
    folder = "job_runners/data/events/"
    shipped = {each for each in zipfile.ZipFile(wheel).namelist() if each.startswith(folder)}
    assert shipped == {f"{folder}env.json", f"{folder}timer_minute.json"}


def test_two_builds_of_the_same_sources_are_the_same_files(wheel: Path, tmp_path: Path) -> None:
    """The wheel of this session was built from a source distribution, and this one wasn't."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    [source] = wheel.parent.glob("*.tar.gz")
    for each in (wheel, source):
        assert (tmp_path / each.name).read_bytes() == each.read_bytes()


# The modules that work with an extra alone. The later ones need the extras before them too.
EXTRAS = {
    "": ("client", "clock", "errors", "names", "places", "settings", "values"),
    "cli": ("cli",),
    "engine": (
        "api",
        "aws",
        "caches",
        "dashboard",
        "engine",
        "erasing",
        "handlers",
        "runners",
        "shipped",
        "store",
        "work",
    ),
    "app": ("building", "fake_dynamodb", "local", "testing"),
}
# It needs Django 6, so tests/django_tasks imports it.
OWN_ENVIRONMENT = {"django"}


def _modules(unpacked: Path) -> set[str]:
    files = [each.relative_to(unpacked) for each in (unpacked / "job_runners").rglob("*.py")]
    parts = [each.with_suffix("").parts for each in files]
    names = {".".join(part for part in each if part != "__init__") for each in parts}
    return {each for each in names if not each.endswith("__main__")}


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_module_needs_only_the_packages_of_its_extra(
    wheel: Path, tmp_path: Path, extra: str
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    modules = [
        each
        for each in _modules(tmp_path)
        if each.partition(".")[2].partition(".")[0] in EXTRAS[extra]
    ]
    [site] = {each for each in sys.path if each.endswith("site-packages")}
    allowed = json.dumps(sorted(needed(extra)))
    program = ROOT / "tests" / "support" / "alone.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", program, tmp_path, site, allowed],
        input="\n".join(sorted(modules)),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == ""
    assert len(modules) > 5


def test_every_module_belongs_to_an_extra(wheel: Path) -> None:
    names = {each.split("/")[1].removesuffix(".py") for each in zipfile.ZipFile(wheel).namelist()}
    known = {each for modules in EXTRAS.values() for each in modules}
    others = {"__init__", "py.typed", "data", "METADATA", "WHEEL", "RECORD", "licenses"}
    assert names - others - {"entry_points.txt"} == known | OWN_ENVIRONMENT


def test_the_pytest_plugin_imports_nothing_of_ours_until_a_test_asks(wheel: Path) -> None:
    code = (
        "import sys, pytest\n"
        f"sys.path.insert(0, {str(wheel)!r})\n"
        "before = set(sys.modules)\n"
        "import job_runners.testing.plugin\n"
        "new = {n.partition('.')[0] for n in sys.modules.keys() - before}\n"
        "ours = sorted(n for n in sys.modules if n.startswith('job_runners'))\n"
        "print(sorted(new - set(sys.stdlib_module_names)), ours)\n"
    )
    done = run(sys.executable, "-P", "-c", code)
    plugin = ["job_runners", "job_runners.testing", "job_runners.testing.plugin"]
    assert done.stdout == f"['job_runners'] {plugin}\n", done.stderr


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


def test_a_release_keeps_every_file_that_the_wheel_is_made_of(tmp_path: Path) -> None:
    """tests/store/test_release_records.py then refuses each later change of these files."""
    pack(ROOT, tmp_path)
    kept = {path.relative_to(tmp_path).as_posix() for path in unpack(tmp_path, tmp_path).rglob("*")}
    builder = WheelBuilder(str(ROOT))
    files = [*builder.recurse_included_files()]
    assert len(files) > 300
    shipped = {Path(each.path).relative_to(ROOT).as_posix() for each in files}
    readers = {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE"}  # of the metadata
    assert shipped | readers <= kept


def test_the_page_on_an_index_is_the_readme_and_its_links_lead_to_the_tag(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = metadata.get_payload(decode=True)
    assert isinstance(page, bytes)
    text = page.decode()
    address = metadata["Project-URL"].removeprefix("Repository, ")
    links = re.findall(r"\]\(([^)]+)\)", text)
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert pictures
    for link in links:
        kind = "raw" if link in pictures else "blob"
        assert link.startswith(f"{address}/{kind}/v{__version__}/"), link
        assert (ROOT / link.partition(f"/v{__version__}/")[2]).exists()
    relative = re.sub(rf"{re.escape(address)}/(raw|blob)/v{__version__}/", "", text)
    assert relative.strip() == (ROOT / "README.md").read_text().strip()


def test_the_command_says_what_to_install(python: Path) -> None:
    done = run(python.parent / "job-runners", "list")
    assert done.returncode == 1
    assert re.search(r"pipx install '(PATH/job_runners-….whl|job-runners)\[cli\]'", done.stderr)
    assert "Traceback" not in done.stderr


def test_the_command_works_beside_its_packages(python: Path, api_server: ApiServer) -> None:
    [packages] = {each for each in sys.path if each.endswith("site-packages")}
    done = run(
        python.parent / "job-runners",
        "dispatch",
        "sample_once",
        "--watch",
        JOBS_API_URL=api_server.url,
        AWS_REGION="us-east-1",
        PYTHONPATH=packages,
    )
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    assert not (python.parent / "jobs").exists()  # a name that every shell has already
    given = {"PYTHONPATH": packages, "_JOB_RUNNERS_COMPLETE": "bash_source"}
    assert "_job_runners_completion" in run(python.parent / "job-runners", **given).stdout


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
    words = (python.parent / "job-runners", "dispatch", "sample_once")
    done = run_in(inside, *words, PYTHONPATH=packages)
    assert done.returncode == 0, done.stderr
    assert "on the local AWS" in done.stderr
    elsewhere = run(*words, PYTHONPATH=packages)
    assert "change to the folder in which you started job-runners run" in elsewhere.stderr
