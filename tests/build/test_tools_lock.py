"""tools.lock: the packages with which CI deploys a project, with hashes."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from in_project import jobs, python

OURS = "job_runners-9.0.0-py3-none-any.whl"
TOOL = "acmetool-{}-py3-none-any.whl"


def write_wheel(folder: Path, file: str, *metadata: str) -> None:
    """Write a wheel without code."""
    folder.mkdir(exist_ok=True)
    name, version, _ = file.split("-", 2)
    with zipfile.ZipFile(folder / file, "w") as archive:
        facts = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *metadata, ""]
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(facts))
        wheel = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", wheel)
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project that pins a wheel of its own folder. The wheel needs another package."""
    assert jobs(tmp_path, "init", "acme-lists", "--github").returncode == 0
    folder = tmp_path / "acme-lists"
    needs = ("Provides-Extra: app", 'Requires-Dist: acmetool; extra == "app"')
    write_wheel(folder / "wheels", OURS, *needs)
    write_wheel(folder / "wheels", TOOL.format("1.0"))
    pin(folder, f"{{root:uri}}/wheels/{OURS}")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder / "wheels"))
    return folder


def pin(project: Path, address: str) -> None:
    file = project / "pyproject.toml"
    requirement = f'dependencies = ["job-runners[app] @ {address}"]'
    file.write_text(re.sub(r"dependencies = \[.*\]", lambda _: requirement, file.read_text()))


def install(project: Path) -> subprocess.CompletedProcess[str]:
    """Install the lock as the workflow does, but nowhere."""
    workflow = (project / ".github/workflows/deploy.yml").read_text()
    (words,) = re.findall(r'- run: "pip (install .*)"', workflow)
    options = ["--dry-run", "--ignore-installed", "--no-index", "--find-links", "wheels"]
    command = [sys.executable, "-m", "pip", *words.split(), *options]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_it_has_the_hash_of_each_package_and_no_path_of_this_machine(project: Path) -> None:
    done = jobs(project, "lock", "--tools", project=project)
    assert done.returncode == 0, done.stderr
    text = (project / "tools.lock").read_text()
    assert re.findall(r"^[a-z./][^ ]*", text, re.MULTILINE) == ["acmetool==1.0", f"./wheels/{OURS}"]
    assert text.count("--hash=sha256:") == 2
    assert str(project) not in text
    done = install(project)
    assert done.returncode == 0, done.stderr
    write_wheel(project / "wheels", TOOL.format("1.0"), "Summary: another one")
    done = install(project)
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


def test_later_locks_and_upgrades_update_it(project: Path) -> None:
    assert jobs(project, "lock", project=project).returncode == 0
    assert not (project / "tools.lock").exists()
    jobs(project, "lock", "--tools", project=project)
    # What an upgrade does after its installation, which would change the environment of the tests.
    upgraded = ("-m", "job_runners.building.upgraded", "--from-version", "0.0.9")
    write_wheel(project / "wheels", TOOL.format("2.0"))
    jobs(project, "lock", project=project)
    assert "acmetool==2.0 " in (project / "tools.lock").read_text()
    write_wheel(project / "wheels", TOOL.format("3.0"))
    assert "tools.lock         updated" in python(project, *upgraded, project=project).stdout
    assert "acmetool==3.0 " in (project / "tools.lock").read_text()


def test_a_wheel_that_only_this_machine_has_is_refused(project: Path, tmp_path: Path) -> None:
    pin(project, (tmp_path / OURS).as_uri())
    done = jobs(project, "lock", "--tools", project=project)
    assert done.returncode == 1
    assert "which other machines don't have. Copy the wheel to" in done.stderr
    assert not (project / "tools.lock").exists()


def test_the_workflow_installs_nothing_else_and_init_says_what_to_do(tmp_path: Path) -> None:
    done = jobs(tmp_path, "init", "acme-lists", "--github")
    assert "lock --tools" in done.stdout
    workflow = (tmp_path / "acme-lists/.github/workflows/deploy.yml").read_text()
    installs = [each for each in workflow.splitlines() if re.search(r"\bpip\b|\buvx?\b", each)]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "tools.lock" in installs[0]
