"""A package that this environment has by chance, and the functions don't get."""

import pytest

from newcomers import Newcomer


@pytest.mark.more
def test_the_command_test_finds_it_and_uv_add_mends_it(newcomer: Newcomer) -> None:
    newcomer.jobs("init", "acme")
    project = newcomer.inside("acme")
    job = project.folder / "acme" / "first_job.py"
    job.write_text(f"import iniconfig\n{job.read_text()}")
    refused = project.run("test")
    assert refused.returncode == 1
    said = "acme/first_job.py:1: ModuleNotFoundError: No module named 'iniconfig'. To add the"
    assert said in refused.stderr
    assert "run uv add NAME" in refused.stderr
    project.uv("add", "--no-sync", "iniconfig")
    assert "iniconfig" not in project.run("test").stderr
