"""A new Django project, as the guide makes it, gets its first result from `job-runners run`."""

import time
from pathlib import Path
from shutil import copytree

import pytest

import supervised
from django_tests import manage, snippet
from in_project import installed_code

WAIT = """
import time
until = time.monotonic() + 60
while not result.is_finished and time.monotonic() < until:
    time.sleep(0.05)
    result.refresh()
"""


def write_site(folder: Path) -> None:
    """Make the project of the guide. `job-runners init` writes the first lines of its package."""
    (folder / "shop_site").mkdir(parents=True)
    (folder / "shop_site/__init__.py").write_text("JOBS = {}\n")
    for arguments in (["startproject", "website", "."], ["startapp", "shop"]):
        done = manage(folder, *arguments)
        assert done.returncode == 0, done.stderr
    (folder / "shop/tasks.py").write_text(snippet("# shop/tasks.py\n"))
    for name in ("website/settings.py", "shop_site/__init__.py"):
        with (folder / name).open("a") as file:
            file.write(snippet(f"# {name}, at its end\n"))


@pytest.mark.e2e
def test_the_first_task_of_a_new_project_returns_its_result(tmp_path: Path) -> None:
    project = tmp_path / "shop-site"
    write_site(project)
    (project / "samconfig.toml").write_text(supervised.SAMCONFIG)
    # As in the environment of a project, whose packages are in the project's folder.
    packages = copytree(installed_code(), project / ".venv/site-packages")
    begun = time.monotonic()
    with supervised.running(project, PYTHONPATH=str(packages)) as run:
        assert "Your code    jobs django_task;" in run.shown
        checked = manage(project, "check", "--deploy")
        assert "TASKS" not in checked.stderr, checked.stderr
        call = snippet("from shop.tasks import count_letters")
        shell = manage(project, "shell", "-c", call.replace("result.refresh()", WAIT))
        assert "SUCCESSFUL {'ada': 3, 'grace': 5}" in shell.stdout, shell.stderr + run.shown
    assert time.monotonic() - begun < 120
