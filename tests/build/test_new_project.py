"""`job-runners init`, and the commands of a project that is not in the checkout."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from in_project import installed_code, jobs, python
from job_runners.places import CODE as ROOT
from newcomers import Newcomer

FILES = {
    *("pyproject.toml", "samconfig.toml", "README.md", ".gitignore", ".python-version"),
    *("new_list/__init__.py", "new_list/first_job.py", "tests/test_first_job.py"),
}
WORKFLOWS = {f".github/workflows/{each}.yml" for each in ("test", "deploy", "advisories")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    done = jobs(folder, "init", "new-list", "--github", "--json")
    assert done.returncode == 0, done.stderr
    written = {str(Path(each).relative_to("new-list")) for each in _relative(done.stdout, folder)}
    assert written == FILES | WORKFLOWS
    return folder / "new-list"


def _relative(output: str, folder: Path) -> list[str]:
    return [os.path.relpath(folder / each, folder) for each in json.loads(output)["files"]]


def test_its_files_are_valid_and_name_the_project(project: Path) -> None:
    config = tomllib.loads((project / "pyproject.toml").read_text())
    assert config["project"]["name"] == "new-list"
    assert config["project"]["dependencies"] == ["job-runners[app]"]
    sources = {"job-runners": {"path": str(installed_code()), "editable": True}}
    assert config["tool"]["uv"] == {"package": False, "sources": sources}
    text = (ROOT / "docs" / "build" / "project.md").read_text()
    shown = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])
    if "sources" in shown["tool"]["uv"]:  # until a package index has Job Runners
        wheel = shown["tool"]["uv"]["sources"]["job-runners"]["path"]
        assert re.fullmatch(r"wheels/job_runners-[\d.]+-py3-none-any\.whl", wheel)
    shown["project"]["dependencies"] = ["job-runners[app]"]
    shown["tool"]["uv"]["sources"] = sources
    assert config["project"].items() >= shown["project"].items()
    assert config["tool"] == shown["tool"]
    version = "{}.{}\n".format(*sys.version_info)
    assert (project / ".python-version").read_text() == version
    sam = tomllib.loads((project / "samconfig.toml").read_text())["default"]
    assert sam["global"]["parameters"]["stack_name"] == "new-list"
    assert sam["deploy"]["parameters"]["s3_prefix"] == "new-list"
    python_runtime = "PythonRuntime=python{}.{}".format(*sys.version_info)
    assert python_runtime in sam["global"]["parameters"]["parameter_overrides"]
    for name in WORKFLOWS:
        text = (project / name).read_text()
        assert yaml.safe_load(text)["jobs"].keys() & {"test", "audit"}
        for line in re.findall(r"uses: ([^.].*)", text):  # pinned as in our own workflows
            assert any(line in each.read_text() for each in (ROOT / ".github").rglob("*.yml"))
    (auditor,) = re.findall(
        r"uvx pip-audit@(\S+)", (project / ".github/workflows/advisories.yml").read_text()
    )
    assert f"pip-audit=={auditor} " in (ROOT / "requirements/scan.txt").read_text()
    assert "$" not in (project / "README.md").read_text().replace('"$(', "")


def test_its_test_passes_and_notices_a_broken_job(project: Path) -> None:
    def tested(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = ("-m", "job_runners.building.app_tests", *arguments)
        return python(project, *words, project=project)

    done = tested()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    job = project / "new_list" / "first_job.py"
    before = job.read_text()
    job.write_text(before.replace('"items": done', '"items": 0'))
    other = project / "tests" / "test_other.py"
    other.write_text("def test_other():\n    assert False\n")
    try:
        said = tested("tests/test_first_job.py").stdout  # and no other test
        assert ("1 failed" in said, "test_other" in said) == (True, False)
    finally:
        job.write_text(before)
        other.unlink()


def test_another_job_is_added_and_the_next_steps_fit_a_project(project: Path) -> None:
    done = jobs(project, "new", "second_job", project=project)
    assert done.returncode == 0, done.stderr
    assert (project / "new_list" / "second_job.py").exists()
    assert "job-runners test" in done.stdout
    assert "make" not in done.stdout
    assert '"second_job": Job(' in (project / "new_list" / "__init__.py").read_text()


def test_sam_finds_the_installed_template_and_how_to_build(project: Path) -> None:
    code = (
        "from job_runners.building.sam_folder import write_sam_folder\nprint(write_sam_folder())\n"
    )
    done = python(project, "-c", code, project=project)
    folder = Path(done.stdout.strip())
    assert folder == project / ".jobs"
    assert (folder / "template.yaml").read_bytes() == (ROOT / "template.yaml").read_bytes()
    dry_run = subprocess.run(
        ["make", "-n", "build-ApiFunction", "ARTIFACTS_DIR=/built"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f'"{sys.executable}" -P -m job_runners.building.build "/built"' in dry_run.stdout
    (project / "template.yaml").write_text("# the project's own\n")
    python(project, "-c", code, project=project)
    assert (folder / "template.yaml").read_text() == "# the project's own\n"
    (project / "template.yaml").unlink()


def test_a_check_that_fails_fails_the_command(project: Path) -> None:
    config = project / "app.toml"
    config.write_text('services = ["no-such-service"]\n')
    try:
        done = jobs(project, "test", project=project)
    finally:
        config.unlink()
    assert done.returncode == 1
    assert "AWS has no service 'no-such-service'" in done.stderr


def test_init_changes_no_folder_that_has_files(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "setup.py").touch()
    done = jobs(tmp_path, "init", "acme")
    assert done.returncode == 1
    assert "acme isn't empty" in done.stderr
    assert [each.name for each in (tmp_path / "acme").iterdir()] == ["setup.py"]


def test_init_refuses_a_package_that_python_cannot_import_as_the_projects(tmp_path: Path) -> None:
    done = jobs(tmp_path, "init", "json")
    assert done.returncode == 1
    assert "the name json is taken" in done.stderr
    assert not (tmp_path / "json").exists()


@pytest.mark.parametrize("command", ["run", "test", "build", "deploy", "eject"])
def test_outside_of_a_project_the_command_says_how_to_create_one(
    tmp_path: Path, command: str
) -> None:
    done = jobs(tmp_path, command)
    assert done.returncode == 1
    assert f"{tmp_path} is not in a project" in done.stderr
    assert "job-runners init NAME" in done.stderr


def test_no_message_of_a_project_names_a_command_of_the_checkout() -> None:
    """Only docstrings and comments do."""
    found = []
    for file in sorted((ROOT / "job_runners").rglob("*.py")):
        if {"testing", "project", "places.py"} & set(file.relative_to(ROOT).parts):
            continue
        tree = ast.parse(file.read_text())
        known = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            f"{file.relative_to(ROOT)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in known
            and re.search(rf"\bmake ({TARGETS})\b|\bbin/job-runners\b", node.value)
        ]
    assert "\n".join(found) == ""


TARGETS = "run|deploy|build|lock|clean|test|check|wheel|redrive|demo"


@pytest.mark.more
def test_an_editor_knows_the_types_without_settings_of_ours(newcomer: Newcomer) -> None:
    newcomer.jobs("init", "acme")
    project = newcomer.folder / "acme"

    def check(*words: str) -> str:
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull]
        command += ["--python-executable", str(newcomer.python), *words]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        return done.stdout

    assert "Success: no issues found in 3 source files" in check("acme", "tests")
    job = project / "acme" / "first_job.py"
    job.write_text(job.read_text().replace("job.checkpoint(done,", "job.checkpoint(dune=1,"))
    assert 'error: Unexpected keyword argument "dune" for "checkpoint"' in check("acme")
