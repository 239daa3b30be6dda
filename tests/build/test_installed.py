"""A project made from the wheel: its lock, and an environment that differs from it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from job_runners import __version__
from newcomers import NEXT, Newcomer
from package_index import write_wheel


@pytest.fixture
def project(newcomer: Newcomer) -> Newcomer:
    newcomer.jobs("init", "acme-lists")
    return newcomer.inside("acme-lists")


def refused(project: Newcomer) -> str:
    """Return why a build is refused. `test` and `run` say the same, and go on."""
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
    assert len(done.stderr.splitlines()) == 1  # nothing differs
    project.uv("lock", "--check")


def test_packages_that_differ_from_the_lock_are_named(project: Newcomer) -> None:
    packages = next(project.python.parents[1].glob("lib/python3*/site-packages"))
    for name in ("iniconfig", "moto", "pip"):
        shutil.rmtree(next(packages.glob(f"{name}-*.dist-info")))
    (packages / "extra.pth").unlink()
    site = next(each for each in sys.path if each.endswith("site-packages"))
    line = refused(replace(project, variables={"PYTHONPATH": site}))
    assert line.startswith("The installed packages differ from uv.lock: iniconfig==")
    assert ", moto==" in line
    assert "pip==" not in line  # each environment begins with a version of its own
    words = f"UV_PROJECT_ENVIRONMENT={project.python.parents[1]} "
    assert f"To install them, run {words}" in line
    assert line.endswith("uv sync")


@pytest.mark.more
def test_another_build_of_the_version_is_noticed(project: Newcomer, wheel: Path) -> None:
    other = project.folder / "wheels" / wheel.name
    with zipfile.ZipFile(other) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    [record] = [each for each in files if each.endswith("/RECORD")]
    files[record] = files[record].replace(b"job_runners/clock.py,sha256=", b"job_runners/x.py,")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    said = f"{other} is another build than the one that uv.lock pins. To pin it, run "
    assert refused(project).startswith(said)
    assert "lock --upgrade-package job-runners, then " in refused(project)
    project.uv("lock", "--upgrade-package", "job-runners")
    said = f"uv.lock pins wheels/{wheel.name}, but another build of Job Runners {__version__} is"
    assert refused(project).startswith(said)
    words = [str(project.python), "-m", "job_runners.building.build", "--for", "samconfig", "built"]
    by_sam = subprocess.run(  # the Makefile that sam calls
        words,
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (by_sam.returncode, by_sam.stderr) == (1, f"{refused(project)}\n")
    noticed = project.run("test")
    assert (noticed.returncode, said in noticed.stderr) == (0, True)


@pytest.mark.more
def test_run_says_it_too_and_goes_on(project: Newcomer) -> None:
    packages = next(project.python.parents[1].glob("lib/python3*/site-packages"))
    shutil.rmtree(next(packages.glob("iniconfig-*.dist-info")))
    (packages / "extra.pth").unlink()
    site = next(each for each in sys.path if each.endswith("site-packages"))
    folder = os.open(project.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # as another run does, so that this one ends
    try:
        done = replace(project, variables={"PYTHONPATH": site}).run("run")
    finally:
        os.close(folder)
    said = " ".join((done.stdout + done.stderr).split())
    assert "The installed packages differ from uv.lock: iniconfig==" in said
    assert f"The local AWS of {project.folder} is starting, or stopping." in said


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
            assert "uv.lock is outdated" in refused(project)
            config = project.folder / "pyproject.toml"
            text = config.read_text()
            config.write_text(text.replace("dependencies = [", 'dependencies = ["six", '))
            assert project.run("test").stderr.count("uv.lock is outdated") == 1
            config.write_text(text)
            pulled.write_text(after)
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
    other = write_wheel(newcomer.folder / "other", "job-runners", __version__)
    origin.write_text(json.dumps({**found, "url": other.as_uri()}))
    assert f"{other} is another build than the Job Runners" in newcomer.run("init", "acme").stderr
    assert not (newcomer.folder / "acme").exists()


def test_init_without_a_network_says_how_to_write_the_lock(newcomer: Newcomer) -> None:
    offline = replace(newcomer, variables={"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"})
    done = offline.run("init", "acme")
    assert done.returncode == 0, done.stderr
    assert "uv.lock was not written. To write it, run " in done.stderr
    assert offline.inside("acme").run("test").returncode == 0  # without packages, none is needed


def test_a_lock_of_pip_is_compared_too(project: Newcomer) -> None:
    for name in ("uv.lock", "pyproject.toml"):
        (project.folder / name).unlink()
    hashed = f" --hash=sha256:{'0' * 64}\n"
    names = [f"iniconfig==0.1{hashed}", f"acme-none==1.0{hashed}", f"job-runners=={__version__}"]
    windows = f'acme-more==1.0 ; sys_platform == "win32"{hashed}'
    lock = project.folder / "requirements.txt"
    lock.write_text("".join([windows, *names, hashed]))
    assert refused(project) == (
        "The installed packages differ from requirements.txt: iniconfig==0.1, acme-none==1.0. To "
        f"install them, run {project.python} -m uv pip install -r {lock}"
    )
