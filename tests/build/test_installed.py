"""A project made from the wheel: its lock, and other versions of Job Runners."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from job_runners import __version__
from newcomers import NEXT, Newcomer


@pytest.fixture
def project(newcomer: Newcomer) -> Newcomer:
    newcomer.jobs("init", "acme-lists")
    return newcomer.inside("acme-lists")


def refused(project: Newcomer) -> str:
    """Return why a build is refused."""
    done = project.run("build")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_a_new_project_has_the_wheel_and_a_lock_and_its_tests_pass(
    project: Newcomer, wheel: Path
) -> None:
    folder = project.folder
    assert (folder / "wheels" / wheel.name).read_bytes() == wheel.read_bytes()
    assert str(folder) not in (folder / "uv.lock").read_text()
    assert f'path = "wheels/{wheel.name}"' in (folder / "uv.lock").read_text()
    done = project.run("test")
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    project.uv("lock", "--check")


@pytest.mark.more
def test_a_project_goes_to_the_next_version_and_back(
    project: Newcomer, wheel: Path, next_wheel: Path
) -> None:
    project.jobs("eject")
    own = project.folder / "template.yaml"
    ours = own.read_text() + "# my own line\n"
    own.write_text(ours)
    for wanted, version in ((next_wheel, NEXT), (wheel, __version__)):
        pulled = project.folder / "uv.lock"
        before = pulled.read_text()
        project.add_wheel(wanted)
        assert version in project.jobs("--version")
        assert f"job_runners-{version}-" in (project.folder / "pyproject.toml").read_text()
        if version == NEXT:
            after, said = pulled.read_text(), project.run("build").stderr
            assert "To see the difference, run job-runners eject again" in said
            shown = project.jobs("eject")
            assert f"+++ the template of Job Runners {NEXT}" in shown
            assert "\n-# my own line\n" in shown
            pulled.write_text(before)
            assert f"uv.lock pins Job Runners {__version__}, but" in refused(project)
            pulled.write_text(after)
            config = project.folder / "pyproject.toml"
            text = config.read_text()
            config.write_text(text.replace("dependencies = [", 'dependencies = ["six", '))
            assert project.run("test").stderr.count("uv.lock is outdated") == 1
            config.write_text(text)
    assert own.read_text() == ours


@pytest.mark.more
def test_a_pulled_upgrade_that_is_not_installed(project: Newcomer, next_wheel: Path) -> None:
    project.add_wheel(next_wheel)
    pyproject, lock = (project.folder / each for each in ("pyproject.toml", "uv.lock"))
    pulled = pyproject.read_text(), lock.read_text()
    [old] = (project.folder / "wheels").glob(f"*{__version__}*")
    project.add_wheel(old)
    pyproject.write_text(pulled[0])
    lock.write_text(pulled[1])
    said = f"uv.lock pins Job Runners {NEXT}, but {__version__} is installed. Run "
    assert refused(project).startswith(said)


def test_init_needs_the_wheel_that_was_installed(newcomer: Newcomer, wheel: Path) -> None:
    packages = next(newcomer.python.parents[1].glob("lib/python3*/site-packages"))
    [origin] = packages.glob("job_runners-*.dist-info/direct_url.json")
    found = json.loads(origin.read_text())
    origin.write_text(json.dumps({**found, "url": "file:///no/such.whl"}))
    done = newcomer.run("init", "acme")
    assert done.returncode == 1
    assert "Job Runners was installed from /no/such.whl, which no longer exists." in done.stderr
    assert not (newcomer.folder / "acme").exists()


def test_init_without_a_network_says_how_to_write_the_lock(newcomer: Newcomer) -> None:
    offline = replace(newcomer, variables={"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"})
    done = offline.run("init", "acme")
    assert done.returncode == 0, done.stderr
    assert "uv.lock was not written. To write it, run " in done.stderr
    assert offline.inside("acme").run("test").returncode == 0  # without packages, none is needed
