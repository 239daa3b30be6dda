"""`job-runners upgrade` and `job-runners eject`: a project changes its version of Job Runners."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from in_project import jobs, python
from job_runners import __version__
from job_runners.building import installed
from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.pinned import Pinned, read_pinned, requirement_of
from job_runners.building.upgrade import newest_requirement
from job_runners.places import CODE, COMMAND
from newcomers import NEXT, Newcomer

MARK = "# Copied from the template of Job Runners"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files of a new project with its own template."""
    folder = tmp_path_factory.mktemp("projects")
    assert jobs(folder, "init", "acme-lists").returncode == 0
    project = folder / "acme-lists"
    done = jobs(project, "eject", project=project)
    assert done.returncode == 0, done.stderr
    first, _, text = (project / "template.yaml").read_text().partition("\n")
    assert first.startswith(f"{MARK} {__version__} (")
    assert text == (CODE / "template.yaml").read_text()
    files = (each for each in project.rglob("*") if each.is_file())
    return {str(each.relative_to(project)): each.read_text() for each in files}


@pytest.fixture
def project(made: dict[str, str], tmp_path: Path) -> Path:
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def came_from(project: Path, old_line: str) -> None:
    """Change the project so that its template was copied from another one."""
    text = (CODE / "template.yaml").read_text()
    (project / "template.yaml").write_text(f"{MARK} 0.0.9 (abc)\n{old_line}{text}# my own line\n")


def test_a_build_and_an_upgrade_show_how_to_compare_another_template(project: Path) -> None:
    code = "from job_runners.building.sam_folder import write_sam_folder\nwrite_sam_folder()"
    assert python(project, "-c", code, project=project).stderr == ""
    came_from(project, "# an old line\n")
    mine = (project / "template.yaml").read_text()
    said = python(project, "-c", code, project=project).stderr
    assert "was copied from the template of Job Runners 0.0.9 (abc). The" in said
    upgraded = jobs(project, "upgrade", project=project)
    assert upgraded.returncode == 0, upgraded.stderr
    assert "need your attention" not in upgraded.stdout  # it is the same version
    assert "deploy as usual, unless this version is deployed already." in upgraded.stdout
    found = re.search(r"run: (diff .*)\. Copy", upgraded.stdout)
    assert found
    assert found[0] in said
    command = shlex.split(found[1])
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "\n-# an old line\n" in shown
    assert "\n-# my own line\n" in shown
    first = next(line[1:] for line in shown.splitlines() if line.startswith(f"+{MARK}"))
    assert (project / "template.yaml").read_text() == mine
    (project / "template.yaml").write_text(mine.replace(f"{MARK} 0.0.9 (abc)", first))
    assert python(project, "-c", code, project=project).stderr == ""
    assert "job-runners run" not in upgraded.stdout
    (project / ".local").mkdir()
    words = ("-m", "job_runners.building.upgraded", "--from-version", "0.0.9")
    said = python(project, *words, project=project).stdout
    assert "template.yaml" not in said
    assert "Stop job-runners run, which still has the version before, and start it again." in said
    assert "Without --keep, that removes its data." in said


def test_a_template_of_the_project_s_own_is_left_alone(project: Path) -> None:
    (project / "template.yaml").write_text("# mine\nResources: {}\n")
    done = jobs(project, "upgrade", project=project)
    assert done.returncode == 0, done.stdout
    assert "template.yaml  " not in done.stdout
    assert (project / "template.yaml").read_text() == "# mine\nResources: {}\n"


def test_eject_overwrites_no_template(project: Path) -> None:
    (project / "template.yaml").write_text("# mine\n")
    done = jobs(project, "eject", project=project)
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert (project / "template.yaml").read_text() == "# mine\n"


def test_a_version_that_cannot_be_installed_changes_nothing(project: Path) -> None:
    before = {each: each.read_bytes() for each in project.rglob("*") if each.is_file()}
    no_network = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    done = jobs(
        project,
        "upgrade",
        "9.9.9",
        project=project,
        UV_CACHE_DIR=str(project / "cache"),
        **no_network,
    )
    assert done.returncode == 1
    assert "job-runners[app]==9.9.9 can't be installed, so nothing has changed" in done.stderr
    assert "Connect to the network, and repeat the command." in done.stderr
    assert "To install a wheel, pass its path." in done.stderr
    assert {each: each.read_bytes() for each in before} == before


def test_a_step_that_fails_is_listed_and_can_be_repeated(project: Path) -> None:
    (project / "requirements.txt").write_text("no-such-package-anywhere\n")
    (project / "requirements.lock").write_text("# outdated\n")
    config = project / "samconfig.toml"
    changed = config.read_text().replace('"Architecture=', '"WorkerColor=blue", "Architecture=')
    config.write_text(changed)
    came_from(project, "# an old line\n")
    done = jobs(project, "upgrade", project=project, UV_OFFLINE="1", UV_CACHE_DIR="cache")
    assert done.returncode == 1
    assert "requirements.txt can't be resolved" in done.stdout
    assert "sets WorkerColor, which the template of this version doesn't have" in done.stdout
    assert "To see the differences, run: diff" in done.stdout
    assert "Fix what is listed above, then run job-runners upgrade again" in done.stdout
    assert (project / "requirements.lock").read_text() == "# outdated\n"
    assert config.read_text() == changed


FILE = "file:///wheels/job_runners-0.3.0-py3-none-any.whl#sha256=ab"


@pytest.mark.parametrize(
    ("line", "wanted", "result"),
    [
        ('"job-runners[app]==0.3.0"', "0.4.0", '"job-runners[app]==0.4.0"'),
        (f'"job-runners[app] @ {FILE}"', "0.4.0rc1", '"job-runners[app]==0.4.0rc1"'),
        ("'job_runners[app,x]~=0.3'", "0.4.0", "'job-runners[app,x]==0.4.0'"),
        (
            "\"job-runners==0.3 ; os_name == 'posix'\"",
            "https://a.example/x.whl",
            "\"job-runners[app] @ https://a.example/x.whl ; os_name == 'posix'\"",
        ),
    ],
)
def test_only_the_requirement_changes(tmp_path: Path, line: str, wanted: str, result: str) -> None:
    text = '# mine\n[project]\nname = "job-runners-tool"\ndependencies = ["a>1", {}, "b"] # as is\n'
    (tmp_path / "pyproject.toml").write_text(text.format(line))
    pinned = read_pinned(tmp_path)
    changed = pinned.replaced(requirement_of(wanted, pinned))
    assert changed == text.format(result)
    tomllib.loads(changed)


def test_a_wheel_in_the_project_is_the_same_on_every_machine(tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "a b.whl"
    wheel.parent.mkdir()
    wheel.touch()
    text = '[project]\ndependencies = ["{}"]\n[build-system]\nbuild-backend = "{}"\n'
    for backend, address in (
        ("hatchling.build", "{root:uri}/wheels/a%20b.whl"),
        ("other", wheel.as_uri()),
    ):
        (tmp_path / "pyproject.toml").write_text(text.format("job-runners==0.3.0", backend))
        pinned = read_pinned(tmp_path)
        wanted = requirement_of(str(wheel), pinned)
        assert wanted.startswith(f"job-runners[app] @ {address}#sha256=")
        (tmp_path / "pyproject.toml").write_text(pinned.replaced(wanted))
        pinned = read_pinned(tmp_path)
        assert pinned.on_this_machine(pinned.requirement).partition("#")[0] == (
            f"job-runners[app] @ {wheel.as_uri()}"
        )


WHEEL = "file:///wheels/job_runners-{}-py3-none-any.whl"
OURS, NEWER = WHEEL.format(__version__), WHEEL.format("9.0.0")
GIT = "https://git.example/job-runners"


@pytest.mark.parametrize(
    ("pinned", "installed_from", "said"),
    [
        (f"=={__version__}", None, None),
        (f"=={__version__}", {"url": OURS}, None),
        (">=0.0.1", None, None),
        ("", None, None),
        ("==9.0.0", {"url": OURS}, "pins Job Runners 9.0.0"),
        (f" @ {NEWER}#sha256=ab", {"url": OURS}, "pins Job Runners 9.0.0"),
        (f" @ {OURS}#sha256=ab", {"url": f"{OURS}#sha256=ab", "archive_info": {}}, None),  # by uv
        (f" @ {OURS}#sha256=ab", {"url": "file:///a.whl", "archive_info": {}}, None),
        (f" @ {OURS}#sha256=ab", None, None),
        (
            f" @ {OURS}#sha256=ab",
            {"url": OURS, "archive_info": {"hashes": {"sha256": "cd"}}},
            f"pins Job Runners from {OURS}, but another build of {__version__} is installed. Run",
        ),
        (" @ file:///checkout/", {"url": "file:///checkout", "dir_info": {}}, None),
        (" @ file:///checkout", None, "from a package index"),
        (
            f" @ git+https://me:word@{GIT[8:]}@v2",
            {"url": GIT, "vcs_info": {"vcs": "git", "requested_revision": "v2"}},
            None,
        ),
        (
            f" @ git+{GIT}@v3",
            {"url": GIT, "vcs_info": {"vcs": "git", "requested_revision": "v2"}},
            f"installed, from git+{GIT}@v2. Run {COMMAND} upgrade.",
        ),
    ],
)
def test_what_is_installed_must_be_what_is_pinned(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pinned: str,
    installed_from: dict[str, object] | None,
    said: str | None,
) -> None:
    text = f'[project]\ndependencies = ["job-runners[app]{pinned}"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    origin = None if installed_from is None else json.dumps(installed_from)
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    monkeypatch.setattr(
        installed,
        "distribution",
        lambda _: SimpleNamespace(read_text={"direct_url.json": origin}.get),
    )
    found = installed.difference()
    assert (found is None) == (said is None)
    assert found is None or (str(said) in found and __version__ in found)


def test_what_is_wanted_must_be_a_version_or_a_wheel() -> None:
    pinned = Pinned(Path("pyproject.toml"), "", "job-runners[app]==0.3.0")
    for wanted in ("newest", "../nothing.whl", "0.4.0 --index-url x", "-e"):
        with pytest.raises(UnusableAppFolder):
            requirement_of(wanted, pinned)


def test_without_a_version_the_newest_in_the_package_index_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("0.9.0", "0.10.0"):
        name = f"job_runners-{version}"
        with zipfile.ZipFile(tmp_path / f"{name}-py3-none-any.whl", "w") as archive:
            metadata = f"Metadata-Version: 2.1\nName: job-runners\nVersion: {version}\n"
            archive.writestr(f"{name}.dist-info/METADATA", metadata)
            wheel = "Wheel-Version: 1.0\nGenerator: x\nTag: py3-none-any\n"
            archive.writestr(f"{name}.dist-info/WHEEL", wheel)
            archive.writestr(f"{name}.dist-info/RECORD", "")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    file = Path("pyproject.toml")
    newest = newest_requirement(Pinned(file, "", "job-runners[app]==0.3.0"))
    assert newest == "job-runners[app]==0.10.0"
    wheel_pin = f"job-runners[app] @ {FILE}"
    assert newest_requirement(Pinned(file, "", wheel_pin)) == wheel_pin


@pytest.mark.more
def test_a_project_goes_to_the_next_version_and_back(
    newcomer: Newcomer, wheel: Path, next_wheel: Path
) -> None:
    newcomer.jobs("init", "acme-lists")
    project = newcomer.inside("acme-lists")
    first = pin(project)
    project.jobs("eject")
    own = project.folder / "template.yaml"
    ours = own.read_text()
    own.write_text(ours + "# my own line\n")
    samconfig = (project.folder / "samconfig.toml").read_bytes()

    shared = project.folder / "wheels" / next_wheel.name
    shared.parent.mkdir()
    shutil.copy(next_wheel, shared)
    said = project.jobs("upgrade", str(shared))
    assert NEXT in project.jobs("--version")
    name = f"wheels/{next_wheel.name}"
    assert pin(project).startswith(f"job-runners[app] @ {{root:uri}}/{name}#sha256=")
    assert f"{NEXT}: Drink more water. It is healthy." in said
    assert "Not this one" not in said
    assert "To see the differences, run: diff" in said
    assert f"To return to {__version__}, run job-runners upgrade {wheel}" in said

    said = project.jobs("upgrade", str(wheel))
    assert NEXT not in project.jobs("--version")
    assert pin(project) == first
    assert "To see the differences" not in said
    assert own.read_text() == ours + "# my own line\n"
    assert "This version is older" in said
    assert f"To return to {NEXT}, run job-runners upgrade {name}\n" in said
    assert (project.folder / "samconfig.toml").read_bytes() == samconfig


def pin(person: Newcomer) -> str:
    config = tomllib.loads((person.folder / "pyproject.toml").read_text())
    [requirement] = config["project"]["dependencies"]
    return str(requirement)
