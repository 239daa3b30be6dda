"""`jobs adopt`: a folder that was written for 0.2.0 becomes a project."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from app_of_0_2 import FILES, checkout_of_0_2
from in_project import jobs, python
from job_runners.building.old_names import Rewritten
from job_runners.building.old_settings import rewritten_samconfig
from job_runners.places import CODE


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout_of_0_2(tmp_path_factory.mktemp("job-runners"))


def contents(folder: Path) -> dict[str, bytes]:
    files = (each for each in folder.rglob("*") if each.is_file() and each.suffix != ".pyc")
    return {str(each.relative_to(folder)): each.read_bytes() for each in files}


@pytest.fixture(scope="module")
def adopted(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return the project, and what the command said about it."""
    folder = tmp_path_factory.mktemp("projects")
    before = contents(checkout)
    done = jobs(folder, "adopt", str(checkout / "app"), "acme-lists", "--github", "--json")
    assert done.returncode == 0, done.stderr
    assert contents(checkout) == before
    return folder / "acme-lists", json.loads(done.stdout)


def test_the_folder_is_one_that_0_2_0_can_import(checkout: Path) -> None:
    names = "acme, acme.runner, acme.extra, acme.unused, acme.sync_list"
    code = f"import {names}; print(sorted(acme.JOBS))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": f"{checkout}:{checkout / 'app'}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['count', 'letter', 'sync_list']\n", done.stderr


@pytest.mark.more  # pytest in a process of its own, with moto
def test_its_code_works_with_the_present_names(adopted: tuple[Path, Any]) -> None:
    project, _ = adopted
    done = python(project, "-m", "job_runners.building.app_tests", project=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_only_names_change_in_its_code(adopted: tuple[Path, Any]) -> None:
    project, _ = adopted
    table = FILES["acme/__init__.py"].replace("from work import", "from job_runners.work import")
    assert (project / "acme" / "__init__.py").read_text() == table
    text = FILES["acme/sync_list.py"].replace("import clock", "from job_runners import clock")
    text = text.replace("from errors", "from job_runners.errors")
    text = text.replace("from work", "from job_runners.work")
    assert (project / "acme" / "sync_list.py").read_text() == text
    assert (project / "pytest.ini").read_text().endswith("-p job_runners.testing.plugin\n")
    assert (project / "requirements.txt").read_text() == FILES["requirements.txt"]


def test_its_stack_stays_the_same_one(adopted: tuple[Path, Any], checkout: Path) -> None:
    project, said = adopted
    old = tomllib.loads((checkout / "samconfig.toml").read_text())["default"]
    new = tomllib.loads((project / "samconfig.toml").read_text())["default"]
    assert new["build"]["parameters"].pop("template_file") == ".jobs/template.yaml"
    overrides = new["global"]["parameters"]["parameter_overrides"]
    assert "JobRunner=job_runners.runners.lambda_async" in overrides
    old["global"]["parameters"]["parameter_overrides"][2] = overrides[2]
    assert new == old
    assert said["stack"] == "lists-prod"
    assert (project / "own.template.yaml").read_text() == FILES["template.yaml"]
    assert (project / "own.samconfig.toml").read_text() == FILES["samconfig.toml"]


def test_it_is_a_complete_project(adopted: tuple[Path, Any]) -> None:
    project, said = adopted
    config = tomllib.loads((project / "pyproject.toml").read_text())
    assert config["project"]["dependencies"] == [f"job-runners[app] @ {CODE.as_uri()}"]
    assert config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["acme"]
    assert (project / ".gitignore").read_text().startswith("*.swp\n.venv/\n.jobs/\n")
    assert (project / ".github" / "workflows" / "deploy.yml").exists()
    assert said["doubts"] == ["acme/unused.py:3: runners.line_pump doesn't exist anymore"]
    assert not list(project.glob(".adopting-*"))


def test_a_changed_template_of_the_checkout_is_mentioned(checkout: Path, tmp_path: Path) -> None:
    template = checkout / "template.yaml"
    released = template.read_bytes()
    template.write_bytes(released + b"# ours\n")
    done = jobs(tmp_path, "adopt", str(checkout / "app"), "new")
    template.write_bytes(released)
    assert "run job-runners eject in the project" in done.stdout
    assert "updates the stack lists-prod" in done.stdout


def test_a_lock_that_cannot_be_updated_now_can_be_updated_later(
    checkout: Path, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    shutil.copytree(checkout / "app", app)
    (app / "requirements.txt").write_text("no-such-package-anywhere\n")
    (app / "requirements.lock").write_text("# outdated\n")
    words = ("adopt", str(app), "new", "--checkout", str(checkout))
    done = jobs(tmp_path, *words, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "requirements.lock isn't updated." in done.stdout
    assert "Connect to the network, and repeat the command" in done.stdout
    assert "\n  job-runners lock\n" in done.stdout
    assert (tmp_path / "new" / "requirements.lock").read_text() == "# outdated\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{checkout}/app", "full"), "full isn't empty"),
        (("{checkout}/nothing", "new"), "{checkout}/nothing doesn't exist"),
        (("{checkout}/app/tests", "new"), "has no package of yours"),
        (("full", "new"), "samconfig.toml doesn't exist. It names your stack"),
        (("{checkout}/app", "{checkout}/app/new"), "Choose a folder outside of it"),
    ],
)
def test_what_cannot_be_adopted_is_refused(
    checkout: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "full" / "acme").mkdir(parents=True)
    (tmp_path / "full" / "acme" / "__init__.py").write_text("JOBS = {}\n")
    done = jobs(tmp_path, "adopt", *(each.format(checkout=checkout) for each in words))
    assert done.returncode == 1
    assert said.format(checkout=checkout) in done.stderr
    assert not (tmp_path / "new").exists()
    assert not (checkout / "app" / "new").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import work.retry\nwork.retry.Retry", "import job_runners.work.retry\njob_runners."),
        ("import clock, os", "from job_runners import clock\nimport os"),
        ("if a: import clock, os", "if a: from job_runners import clock; import os"),
        ("import settings as s", "from job_runners import settings as s"),
        ("from work import Job as J", "from job_runners.work import Job as J"),
        ("from work import *", "from job_runners.work import *"),
        ("from runners import messages", "from job_runners.engine.wire import messages"),
        ("from job_runners.errors import NoAnswer", "from job_runners.client.errors import "),
        ("from job_runners import Client", "from job_runners import Client"),
        ("from .work import Job", "from .work import Job"),
        ("patch('work.retry.Retry')", "patch('job_runners.work.retry.Retry')"),
        ("é = 'ü'; x('store.rate.Rate')", "é = 'ü'; x('job_runners.store.rate.Rate')"),
        ("a = 'work.begun', 'api.example.com', 'jobs.new'", "a = 'work.begun', 'api.example.com"),
        ("work = 1; work.retry", "work = 1; work.retry"),
    ],
)
def test_imports_and_names_of_modules_are_rewritten(old: str, new: str) -> None:
    rewritten = Rewritten(old)
    assert rewritten.text.startswith(new)
    assert rewritten.to_change == []
    assert Rewritten(rewritten.text.replace("job_runners.client.errors", "e")).text.startswith(
        new.replace("job_runners.client.errors", "e")
    )


@pytest.mark.parametrize(
    "build",
    [
        "",
        "[default.build.parameters]\ncached = true\n",
        '[default.build.parameters]\ntemplate_file = "template.yaml"\n',
        '[default.build.parameters]\ntemplate = "t.yaml"\n\n[prod.build.parameters]\na = 1\n',
    ],
)
def test_every_build_uses_the_projects_template(build: str) -> None:
    head = '[default.global.parameters]\nstack_name = "a"\n\n'
    read = tomllib.loads(rewritten_samconfig(head + build, Path("samconfig.toml")))
    for environment in read.values():
        if "build" in environment:
            assert environment["build"]["parameters"]["template_file"] == ".jobs/template.yaml"
            assert "template" not in environment["build"]["parameters"]
    assert read["default"]["build"]
