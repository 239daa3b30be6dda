"""`job-runners eject`: a project has its own template, also after an upgrade."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from in_project import jobs, python
from job_runners import __version__
from job_runners.places import CODE

MARK = "# Copied from the template of Job Runners"
WRITE = "from job_runners.building.sam_folder import write_sam_folder\nwrite_sam_folder()"


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


def test_a_build_shows_how_to_compare_another_template(project: Path) -> None:
    assert python(project, "-c", WRITE, project=project).stderr == ""
    came_from(project, "# an old line\n")
    mine = (project / "template.yaml").read_text()
    said = python(project, "-c", WRITE, project=project).stderr
    assert "was copied from the template of Job Runners 0.0.9 (abc). The" in said
    found = re.search(r"run: (diff .*)\. Copy", said)
    assert found
    command = shlex.split(found[1])
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "\n-# an old line\n" in shown
    assert "\n-# my own line\n" in shown
    first = next(line[1:] for line in shown.splitlines() if line.startswith(f"+{MARK}"))
    assert (project / "template.yaml").read_text() == mine
    (project / "template.yaml").write_text(mine.replace(f"{MARK} 0.0.9 (abc)", first))
    assert python(project, "-c", WRITE, project=project).stderr == ""


def test_a_template_of_the_project_s_own_is_left_alone(project: Path) -> None:
    (project / "template.yaml").write_text("# mine\nResources: {}\n")
    assert python(project, "-c", WRITE, project=project).stderr == ""
    assert (project / "template.yaml").read_text() == "# mine\nResources: {}\n"


def test_eject_overwrites_no_template(project: Path) -> None:
    (project / "template.yaml").write_text("# mine\n")
    done = jobs(project, "eject", project=project)
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert (project / "template.yaml").read_text() == "# mine\n"


def test_a_parameter_that_the_template_lacks_is_refused_before_a_build(project: Path) -> None:
    config = project / "samconfig.toml"
    changed = config.read_text().replace('"Architecture=', '"WorkerColor=blue", "Architecture=')
    config.write_text(changed)
    done = jobs(project, "build", project=project)
    assert done.returncode == 1
    assert f"{config} sets WorkerColor, which the template doesn't have. Remove it" in done.stderr
    assert config.read_text() == changed


@pytest.mark.parametrize("example", ["campaign", "shop", "sqs_runner"])
def test_the_examples_set_only_parameters_that_the_template_has(example: str) -> None:
    code = (
        "from job_runners.building.sam_folder import check_parameters, template\n"
        "check_parameters(template())"
    )
    folder = CODE / "examples" / example
    assert python(folder, "-c", code, project=folder).stderr == ""
