"""An organisation's folder: where it is, what is in it, and what is refused."""

from pathlib import Path

import pytest

from job_runners.building.app_folder import (
    AppFolder,
    UnusableAppFolder,
    find_app_folder,
    read_app_folder,
)


def package(folder: Path, name: str = "acme") -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("JOBS = {}\n")
    return folder


def test_project_names_a_folder_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("JOBS_PROJECT", "../elsewhere")
    assert find_app_folder() == AppFolder(tmp_path / "elsewhere", ("acme",), frozenset())


def test_in_a_checkout_an_empty_or_unset_project_means_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_app_folder() is None
    monkeypatch.delenv("JOBS_PROJECT")
    assert find_app_folder() is None


def test_packages_are_folders_with_an_init_but_for_tests(tmp_path: Path) -> None:
    for name in ("zeta", "acme", "tests", ".hidden"):
        package(tmp_path, name)
    (tmp_path / "data").mkdir()
    (tmp_path / "script.py").touch()
    found = read_app_folder(tmp_path)
    assert found.sources == {"acme": tmp_path / "acme", "zeta": tmp_path / "zeta"}


@pytest.mark.parametrize(("made", "why"), [("file", "is a file"), (None, "does not exist")])
def test_a_project_that_is_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str | None, why: str
) -> None:
    path = tmp_path / "app"
    if made:
        path.touch()
    monkeypatch.setenv("JOBS_PROJECT", str(path))
    with pytest.raises(UnusableAppFolder, match=rf"can't be used: {path} {why}\. Set JOBS_PROJECT"):
        find_app_folder()


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableAppFolder, match=r"has no package of yours.*job-runners new NAME"):
        read_app_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("job_runners", "Job Runners has a module job_runners"),
        ("handlers", "Job Runners has a module handlers"),
        ("json", "standard library has a module"),
        ("pydantic", "a dependency has a module"),
        ("typing_extensions", "a dependency has a module"),
        ("my-jobs", "Python can.t import the name .*my_jobs"),
        ("class", "Python can.t import the name .*my_class"),
    ],
)
def test_a_package_whose_name_is_taken_is_refused(tmp_path: Path, name: str, why: str) -> None:
    package(tmp_path, name)
    with pytest.raises(UnusableAppFolder, match=rf"{tmp_path / name}: .*{why}"):
        read_app_folder(tmp_path)


def test_app_toml_lists_services(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "app.toml").write_text('services = ["sesv2", "dynamodb"]\n')
    assert read_app_folder(tmp_path).services == {"sesv2", "dynamodb"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("services = [", "is not TOML"),
        ('services = "ses"', "must be a list"),
        ("services = [1]", "must be a list"),
        ('service = ["ses"]', "unknown setting service"),
        ('services = ["sess"]', "AWS has no service 'sess'. Did you mean ses"),
        ('services = ["ses:SendEmail"]', 'Write "ses" instead of "ses:SendEmail"'),
        ('services = ["zzzzzzzz"]', "Use the name that boto3.client takes"),
    ],
)
def test_an_app_toml_that_can_not_be_meant_is_refused(tmp_path: Path, text: str, why: str) -> None:
    package(tmp_path)
    (tmp_path / "app.toml").write_text(text)
    with pytest.raises(UnusableAppFolder, match=rf"app\.toml.*{why}"):
        read_app_folder(tmp_path)
