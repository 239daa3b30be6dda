"""A new Django project, as the guide makes it, gets its first result from `job-runners run`."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import supervised
from in_project import installed_code
from job_runners.places import ROOT

GUIDE = (ROOT / "docs/integrate/django.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
WAIT = """
import time
until = time.monotonic() + 60
while not result.is_finished and time.monotonic() < until:
    time.sleep(0.05)
    result.refresh()
"""


def snippet(begins: str) -> str:
    """Return the only code of the guide that begins with this text."""
    found: str
    [found] = [each for each in PYTHON if each.startswith(begins)]
    return found


def write_site(folder: Path) -> None:
    """Make the project of the guide."""
    for arguments in (["startproject", "website", "."], ["startapp", "shop"]):
        subprocess.run([sys.executable, "-m", "django", *arguments], cwd=folder, check=True)
    for name in ("shop/tasks.py", "shop_site/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(snippet(f"# {name}\n"))
    with (folder / "website/settings.py").open("a") as settings:
        settings.write(snippet("# website/settings.py, at its end"))


def sourced(file: Path) -> dict[str, str]:
    """Return the environment after a shell has read a file."""
    command = f'set -a; . "{file}"; env -0'
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return dict(each.split("=", 1) for each in shown.stdout.split("\0") if "=" in each)


@pytest.mark.e2e
def test_the_first_task_of_a_new_project_returns_its_result(tmp_path: Path) -> None:
    project = tmp_path / "shop-site"
    project.mkdir()
    (project / "samconfig.toml").write_text(supervised.SAMCONFIG)
    write_site(project)
    begun = time.monotonic()
    with supervised.running(project) as run:
        environment = sourced(project / ".local/env.sh")
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        environment["PYTHONPATH"] = str(installed_code())
        manage = [sys.executable, "manage.py"]
        site = {"cwd": project, "env": environment, "capture_output": True, "text": True}
        checked = subprocess.run([*manage, "check", "--deploy"], **site, check=False)  # type: ignore[call-overload]
        assert "TASKS" not in checked.stderr, checked.stderr
        call = snippet("from shop.tasks import count_letters").replace("result.refresh()", WAIT)
        shell = subprocess.run([*manage, "shell", "-c", call], **site, check=False)  # type: ignore[call-overload]
        assert "SUCCESSFUL {'ada': 3, 'grace': 5}" in shell.stdout, shell.stderr + run.shown
    assert time.monotonic() - begun < 120
