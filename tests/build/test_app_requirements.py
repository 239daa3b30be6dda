"""What an organisation's work needs: pinned together with ours, and refused while it is not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app_folders import REQUIREMENTS, write_app
from job_runners.building import app_requirements, build
from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.app_requirements import install, lock, locked
from job_runners.building.target import ROOT, Target

ARM = Target("arm64", "python3.13")


def test_a_folder_without_requirements_needs_no_lock(tmp_path: Path) -> None:
    assert locked(None) is None
    assert locked(write_app(tmp_path)) is None
    assert locked(write_app(tmp_path, {"requirements.txt": "# nothing yet\n\n"})) is None


def test_a_lock_that_is_missing_or_older_is_refused(tmp_path: Path) -> None:
    app = write_app(tmp_path, {"requirements.txt": REQUIREMENTS})
    with pytest.raises(
        UnusableAppFolder, match=r"requirements\.lock is missing.*run job-runners lock"
    ):
        locked(app)
    lock(app, ARM)
    assert locked(app) == app.lock
    app.requirements.write_text(REQUIREMENTS + "# and more\n")
    with pytest.raises(
        UnusableAppFolder, match=r"requirements\.lock is outdated: .*run job-runners lock"
    ):
        locked(app)


def test_a_lock_is_outdated_when_ours_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = write_app(tmp_path, {"requirements.txt": REQUIREMENTS})
    lock(app, ARM)
    newer = tmp_path / "runtime.txt"
    newer.write_text(app_requirements.OUR_LOCK.read_text() + "# newer\n")
    monkeypatch.setattr(app_requirements, "OUR_LOCK", newer)
    with pytest.raises(UnusableAppFolder, match="requirements of Job Runners have changed"):
        locked(app)


def test_the_lock_has_versions_and_hashes_of_what_ours_lacks(tmp_path: Path) -> None:
    app = write_app(tmp_path, {"requirements.txt": f"{REQUIREMENTS}pydantic\n"})
    lock(app, ARM)
    text = app.lock.read_text()
    assert [line for line in text.splitlines() if "==" in line] == [
        next(line for line in text.splitlines() if line.startswith("iniconfig=="))
    ]
    assert "--hash=sha256:" in text
    assert "pydantic" not in text  # our own lock pins it
    assert not {"http", "/tmp", str(tmp_path)} & set(text.split())


def test_a_conflict_with_ours_is_said(tmp_path: Path) -> None:
    app = write_app(tmp_path, {"requirements.txt": "pydantic<2\n"})
    with pytest.raises(UnusableAppFolder, match=r"can't be resolved together(.|\n)*pydantic<2"):
        lock(app, ARM)
    assert not app.lock.exists()


def test_a_file_with_another_hash_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "ours.txt"
    ours.touch()
    monkeypatch.setattr(build, "LOCK", ours)
    wrong = tmp_path / "requirements.lock"
    wrong.write_text(f"iniconfig==2.1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(build.DependenciesNotInstalled, match="Hash mismatch"):
        build._install(Target.this_machine(), tmp_path / "tree", wrong)


def test_wheels_are_taken_that_run_on_the_amazon_linux_of_the_python() -> None:
    assert Target("arm64", "python3.12").uv_platform == "aarch64-manylinux_2_34"
    assert Target("x86_64", "python3.11").uv_platform == "x86_64-manylinux_2_17"


# --- in the environment that tests run in ---------------------------------------------------------


def pinned(name: str) -> str:
    """Return how our own lock of the development environment pins a package."""
    lines = (ROOT / "requirements" / "dev.txt").read_text().splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    end = next(number for number in range(start + 1, len(lines)) if lines[number][0] != " ")
    return "".join(lines[start:end])


def test_the_environment_of_tests_has_what_the_lock_says_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "dev.txt"
    ours.write_text(pinned("six"))
    monkeypatch.setattr(app_requirements, "_OUR_ENVIRONMENT", ours)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)

    def installed() -> set[str]:
        site = next((environment / "lib").glob("python*/site-packages"))
        return {each.name for each in site.iterdir()} & {"six.py", "iniconfig"}

    app = write_app(tmp_path / "app", {"requirements.txt": REQUIREMENTS})
    with pytest.raises(UnusableAppFolder, match="run job-runners lock"):
        install(app, environment)
    lock(app, ARM)
    install(app, environment)
    assert installed() == {"six.py", "iniconfig"}
    monkeypatch.setattr(app_requirements, "_UV", ("no-such-program",))  # nothing is left to do
    install(app, environment)
    monkeypatch.undo()
    monkeypatch.setattr(app_requirements, "_OUR_ENVIRONMENT", ours)
    install(None, environment)
    assert installed() == {"six.py"}


def commands(target: str, folder: Path, *words: str) -> str:
    """Return what make would run in a folder."""
    make = shutil.which("make")
    assert make
    shown = subprocess.run(
        [make, "-f", str(ROOT / "Makefile"), "-n", target, *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout


@pytest.mark.parametrize(
    ("words", "folder", "installs"),
    [
        ((), None, False),
        ((), "examples/campaign", True),
        (("PROJECT=x",), "x", True),
        (("PROJECT=x",), "examples/campaign", False),
        (("PROJECT=",), "examples/campaign", False),
    ],
)
def test_make_installs_what_the_project_needs(
    tmp_path: Path, words: tuple[str, ...], folder: str | None, installs: bool
) -> None:
    if folder:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "requirements.txt").touch()
    dev = commands("dev", tmp_path, *words)
    assert ("job_runners.building.app_requirements install" in dev) == installs
