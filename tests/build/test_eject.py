"""`job-runners eject`: a project has its own template, also after an upgrade."""

import json
from pathlib import Path

import pytest

from in_project import jobs, python
from job_runners import __version__
from job_runners.places import CODE

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


def build(project: Path) -> str:
    """Return what `job-runners build` says before it begins to build."""
    config = project / "samconfig.toml"
    before = config.read_text()
    config.write_text(before.replace('"Architecture=', '"WorkerColor=blue", "Architecture='))
    done = jobs(project, "build", project=project)
    config.write_text(before)
    warning, _, refusal = done.stderr.rpartition(f"{config} sets WorkerColor")
    assert refusal
    return warning


def test_an_upgrade_shows_the_difference_of_the_template(project: Path) -> None:
    assert build(project) == ""
    assert jobs(project, "eject", project=project).stdout == "Your template is the installed one.\n"
    came_from(project, "# an old line\n")
    mine = (project / "template.yaml").read_text()
    said = build(project)
    assert "was copied from the template of Job Runners 0.0.9 (abc). The" in said
    assert "run job-runners eject again" in said
    shown = jobs(project, "eject", project=project).stdout
    assert "\n-# an old line\n" in shown
    assert "\n-# my own line\n" in shown
    first = next(line[1:] for line in shown.splitlines() if line.startswith(f"+{MARK}"))
    assert (project / "template.yaml").read_text() == mine
    (project / "template.yaml").write_text(mine.replace(f"{MARK} 0.0.9 (abc)", first))
    assert build(project) == ""


def test_a_template_of_the_project_s_own_is_left_alone(project: Path) -> None:
    (project / "template.yaml").write_text("# mine\nResources: {}\nParameters: {}\n")
    assert build(project) == ""
    shown = jobs(project, "eject", "--json", project=project)
    assert "-# mine" in json.loads(shown.stdout)["difference"]
    assert (project / "template.yaml").read_text() == "# mine\nResources: {}\nParameters: {}\n"


def test_a_parameter_that_the_template_lacks_is_refused_before_a_build(project: Path) -> None:
    config = project / "samconfig.toml"
    changed = config.read_text().replace('"Architecture=', '"WorkerColor=blue", "Architecture=')
    config.write_text(changed)
    done = jobs(project, "build", project=project)
    assert done.returncode == 1
    assert f"{config} sets WorkerColor, which the template doesn't have. Remove it" in done.stderr
    assert config.read_text() == changed


@pytest.mark.parametrize("example", ["campaign", "sqs_runner"])
def test_the_examples_set_only_parameters_that_the_template_has(example: str) -> None:
    code = (
        "from job_runners.building.sam_folder import check_parameters, source_template\n"
        "check_parameters(source_template())"
    )
    folder = CODE / "examples" / example
    assert python(folder, "-c", code, project=folder).stderr == ""
