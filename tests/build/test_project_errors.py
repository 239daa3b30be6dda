"""What stops a command in a project: each error says what happened, where, and how to go on."""

import fcntl
import os
from pathlib import Path

import pytest

from in_project import jobs, python
from job_runners.places import CODE
from package_index import package_index, write_wheel


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    assert jobs(folder, "init", "acme-lists").returncode == 0
    return folder / "acme-lists"


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    for file in made.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(made)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return tmp_path


def test_the_tools_without_a_network(project: Path) -> None:
    given = {"UV_OFFLINE": "1", "XDG_CACHE_HOME": str(project / "cache")}
    given["UV_CACHE_DIR"] = str(project / "cache")
    done = jobs(project, "build", project=project, **given)
    assert done.returncode == 1
    assert "sam can't be installed" in done.stderr
    assert "Without a network, connect once: later builds work offline." in done.stderr


def test_the_tools_come_from_the_index_in_a_variable_of_pip(project: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "served", "acme-words")
    with package_index(tmp_path / "served") as index:
        given = {"PIP_INDEX_URL": index.url_with_password, "UV_FIND_LINKS": ""}
        given |= {"XDG_CACHE_HOME": str(project / "cache"), "UV_CACHE_DIR": str(project / "cache")}
        done = jobs(project, "build", project=project, **given, UV_OFFLINE="0")
        assert "sam can't be installed" in done.stderr
        assert "/simple/aws-sam-cli/" in index.asked


def test_a_python_that_this_machine_lacks(project: Path) -> None:
    config = project / "samconfig.toml"
    text = config.read_text()
    config.write_text(text.replace("PythonRuntime=python3.", "PythonRuntime=python3.9"))
    words = ("-m", "job_runners.building.build", str(project / "built"), "--for", "samconfig")
    done = python(project, *words, project=project)
    assert done.returncode == 1
    assert "(PythonRuntime in samconfig.toml)" in done.stderr
    assert "or set PythonRuntime=python3." in done.stderr
    assert not (project / "built").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("PythonRuntime=", "Python=", "doesn't set PythonRuntime, which a build needs"),
        ("parameter_overrides", "overrides", "doesn't set Architecture and PythonRuntime"),
        ("version = 0.1", "version 0.1", "samconfig.toml is not TOML"),
    ],
)
def test_a_samconfig_without_what_a_build_needs(
    project: Path, old: str, new: str, said: str
) -> None:
    config = project / "samconfig.toml"
    config.write_text(config.read_text().replace(old, new))
    words = ("-m", "job_runners.building.build", str(project / "built"))
    for done in (python(project, *words, project=project), jobs(project, "build", project=project)):
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def tools(project: Path, sam: str = "") -> dict[str, str]:
    """Write a program in the place of sam, next to the real cfn-lint.

    Return the variables that lead to it.
    """
    given = {"XDG_CACHE_HOME": str(project / "cache")}
    code = (
        "from job_runners.building.sam import tools_folder\n"
        "folder = tools_folder()\nfolder.mkdir(parents=True)\n"
        "(folder.parent / 'made').touch()\nprint(folder / 'sam')"
    )
    done = python(project, "-c", code, project=project, **given)
    file = Path(done.stdout.strip())
    file.write_text(f"#!/bin/sh\n{sam}")
    file.chmod(0o755)
    file.with_name("cfn-lint").symlink_to(CODE / ".venv-aws" / "bin" / "cfn-lint")
    return given


def test_a_build_leaves_out_the_advice_of_sam(project: Path) -> None:
    advice = "Commands you can use next\n=====\n[*] Deploy: sam deploy --guided"
    said = f"Built Template : build/template.yaml\n\n{advice}\n"
    given = tools(project, f"cat <<'END'\n{said}END\nexit 3\n")
    done = jobs(project, "build", project=project, **given)
    assert done.stdout == "Built Template : build/template.yaml\n\n"
    assert done.returncode == 3


def test_another_run_of_the_same_project(project: Path) -> None:
    given = tools(project)
    folder = os.open(project, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        done = jobs(project, "run", project=project, **given)
    finally:
        os.close(folder)
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert f"The local AWS of {project} is starting, or stopping." in said


def test_a_build_without_make(project: Path) -> None:
    done = jobs(project, "build", project=project, PATH=str(project))
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert "sam builds the functions with make, which is not installed. Install it" in said
