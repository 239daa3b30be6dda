"""The packages that an organization's work needs: a lock of uv or pip pins them for builds."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app_folders import write_app
from in_project import jobs
from job_runners.building import build
from job_runners.building.app_folder import AppFolder, BuildProblem
from job_runners.building.app_requirements import OUR_LOCK, function_pins, project_pins, split_pins
from job_runners.building.samconfig import Target
from job_runners.places import ROOT
from package_index import PASSWORD, USER, PackageIndex, package_index, write_wheel

ARM = Target("arm64", "python3.13")
PYPROJECT = """\
[project]
name = "acme"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = [{}]
[dependency-groups]
dev = ["acme-tool"]
[tool.uv]
package = false
"""
SOURCE = '{} = {{ path = "wheels/{}-1.0-{}.whl" }}\n'


def uv(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uv", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "UV_CACHE_DIR": str(folder / "cache"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def pyproject(*names: str, tag: str = "py3-none-any") -> str:
    """Return a pyproject.toml that needs wheels of the project's folder."""
    listed = PYPROJECT.format(", ".join(f'"{each}"' for each in names))
    sources = {SOURCE.format(each, each.replace("-", "_"), tag) for each in names}
    tool = SOURCE.format("acme-tool", "acme_tool", "py3-none-any")
    return f"{listed}[tool.uv.sources]\n{''.join(sorted(sources | {tool}))}"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppFolder:
    """Return a project with a lock of uv, a package of its own, and a tool for development."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "CACHE", tmp_path / "built")
    for name in ("acme-words", "acme-tool"):
        write_wheel(tmp_path / "wheels", name)
    app = write_app(tmp_path, {"pyproject.toml": pyproject("acme-words")})
    done = uv(tmp_path, "lock")
    assert done.returncode == 0, done.stderr
    return app


def refused(project: Path) -> str:
    """Return what a build says before it begins."""
    (project / "samconfig.toml").touch()
    done = jobs(project, "build", project=project)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


# --- a lock of uv -------------------------------------------------------------------------------


def test_a_project_without_packages_needs_no_lock(tmp_path: Path) -> None:
    assert project_pins(None) == ""
    assert project_pins(write_app(tmp_path)) == ""
    assert project_pins(write_app(tmp_path, {"requirements.txt": "# nothing yet\n\n"})) == ""
    (tmp_path / "requirements.txt").unlink()
    files = {"pyproject.toml": PYPROJECT.format('"job-runners[app]==0.3.0"')}
    assert project_pins(write_app(tmp_path, files)) == ""


def test_functions_get_what_the_project_depends_on_and_no_tools(app: AppFolder) -> None:
    assert re.findall(r"[a-z]+_[a-z]+", project_pins(app)) == ["acme_words"]
    assert "--hash=sha256:" in project_pins(app)


def test_a_lock_that_is_missing_or_outdated_is_refused(app: AppFolder) -> None:
    app.requirements.write_text(pyproject("acme-words", "acme-tool"))
    program = "uv" if shutil.which("uv") else f"{sys.executable} -m uv"
    assert refused(app.path) == (
        f"{app.path}/uv.lock is outdated: pyproject.toml has changed since it was made, or another "
        f"package index is set in a variable. To update it, run {program} lock"
    )
    app.lock.unlink()
    assert f"{app.path}/uv.lock is missing. To create it, run " in refused(app.path)
    app.requirements.write_text("[project\n")
    assert f"{app.requirements} is not TOML" in refused(app.path)


@pytest.mark.parametrize("command", ["build", "test"])
def test_a_lock_that_pins_another_version_of_ours_is_refused(app: AppFolder, command: str) -> None:
    package = '\n[[package]]\nname = "job-runners"\nversion = "9.9"\n'
    app.lock.write_text(app.lock.read_text() + package)
    (app.path / "samconfig.toml").touch()
    app.requirements.write_text(pyproject())
    done = jobs(app.path, command, project=app.path)
    assert done.returncode == 1
    assert "uv.lock pins Job Runners 9.9, but" in done.stderr


# --- a lock of pip ------------------------------------------------------------------------------


def of_pip(folder: Path, requirements: str, lock: str | None = None) -> AppFolder:
    files = {"requirements.txt": requirements}
    return write_app(folder, files if lock is None else {**files, "requirements.lock": lock})


def test_a_lock_of_pip_may_be_in_either_file(tmp_path: Path) -> None:
    pins = f"acme-words==1.0 --hash=sha256:{'0' * 64}"
    assert project_pins(of_pip(tmp_path / "a", f"{pins}\n")) == pins  # as `poetry export` writes it
    assert project_pins(of_pip(tmp_path / "b", "acme-words>=1\n", f"# by uv\n{pins}\n")).endswith(
        pins
    )
    ours = f"job-runners==0.3.0 \\\n    --hash=sha256:{'1' * 64}\n"
    assert (
        project_pins(of_pip(tmp_path / "c", f"--index-url x\n{ours}{pins}"))
        == f"--index-url x\n{pins}"
    )


def test_a_lock_of_pip_is_read_if_requirements_txt_names_another_file(tmp_path: Path) -> None:
    pins = f"acme-words==1.0 --hash=sha256:{'0' * 64}"
    assert project_pins(of_pip(tmp_path, "-r base.txt\n", pins)) == pins


def test_a_lock_of_pip_may_lack_what_another_system_needs(tmp_path: Path) -> None:
    pins = f"acme-words==1.0 --hash=sha256:{'0' * 64}"
    named = 'acme-words\ncolorama; sys_platform == "win32"\n'
    assert project_pins(of_pip(tmp_path / "a", named, pins)) == pins  # as pip-compile writes it
    named = 'six<2; python_version < "3.12"\nsix>=2; python_version >= "3.12"\n'
    pins = "six==1.0 ; python_version < '3.12'\nsix==2.0 ; python_version >= '3.12'"
    assert project_pins(of_pip(tmp_path / "b", named, pins)) == pins


@pytest.mark.parametrize(
    ("requirements", "lock", "said"),
    [
        ("six @ https://a:pw@b.test/six.whl\n", "x==1", "names six, and the lock has no such"),
        ("iniconfig\n", "six==1.0", "names iniconfig, and the lock has no such package."),
        ("six>=2 # new\n", "six==1.0 \\\n --hash=x", "names six>=2, and the lock has six==1.0."),
    ],
)
def test_a_lock_of_pip_that_pins_something_else_is_refused(
    tmp_path: Path, requirements: str, lock: str, said: str
) -> None:
    line = refused(of_pip(tmp_path, requirements, lock).path)
    assert said in line
    assert "requirements.lock is outdated: requirements.txt names" in line
    assert "pw" not in line


def test_a_lock_of_pip_that_is_missing_is_refused(tmp_path: Path) -> None:
    line = refused(of_pip(tmp_path, "iniconfig\n").path)
    assert "requirements.lock is missing, and requirements.txt has no hashes." in line
    command = "uv pip compile --universal --generate-hashes requirements.txt -o requirements.lock"
    assert line.endswith(f"run {command}")


def test_the_command_that_is_named_makes_a_lock_that_is_accepted(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "acme-words")
    app = of_pip(tmp_path, "acme-words\n")
    command = refused(app.path).partition("run uv ")[2].split()
    links = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(tmp_path / "wheels")}
    assert uv(tmp_path, *command, **links).returncode == 0
    assert "acme-words==1.0" in project_pins(app)
    app.requirements.write_text("# nothing anymore\n")
    line = refused(app.path)
    assert "it pins acme-words, which requirements.txt doesn't name anymore. To update" in line
    app.requirements.write_text("./wheels/acme_words-1.0-py3-none-any.whl\n")
    assert "acme-words==1.0" in project_pins(app)


# --- what a build installs ------------------------------------------------------------------------


def test_the_project_s_pins_come_before_ours() -> None:
    ours = dict(split_pins(OUR_LOCK.read_text()))
    pins = dict(split_pins(function_pins("Pydantic==2.99 \\\n    --hash=sha256:ab\n", ARM)))
    assert pins["pydantic"] == "Pydantic==2.99 \\\n    --hash=sha256:ab"
    assert {name: text for name, text in pins.items() if name != "pydantic"} == {
        name: text.rstrip() for name, text in ours.items() if name != "pydantic"
    }


@pytest.mark.parametrize(
    ("marker", "target", "taken"),
    [
        ("python_full_version < '3.11'", ARM, False),
        ("python_full_version >= '3.11'", ARM, True),
        ("sys_platform == 'win32'", ARM, False),
        ("sys_platform == 'win32'", Target.this_machine(), False),
        ("platform_machine == 'aarch64'", ARM, True),
    ],
)
def test_a_pin_for_another_platform_leaves_ours(marker: str, target: Target, taken: bool) -> None:
    theirs = f"six==9.9 ; {marker} \\\n    --hash=sha256:ab\n"
    ours = dict(split_pins(OUR_LOCK.read_text()))["six"].splitlines()[0]
    assert (ours in function_pins(theirs, target)) != taken


def test_pins_that_do_not_fit_ours_are_refused_in_words(tmp_path: Path) -> None:
    app = of_pip(tmp_path, f"typing-extensions==3.7.4 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BuildProblem, match=r"you require typing-extensions==3.7"):
        build._dependencies(ARM, app)


def test_a_file_with_another_hash_is_not_installed(app: AppFolder) -> None:
    write_wheel(app.path / "wheels", "acme-words", code="CHANGED = True\n")
    with pytest.raises(BuildProblem, match="Hash mismatch"):
        build._dependencies(ARM, app)


@pytest.mark.parametrize("named", ["acme-words==1.0", "git+https://git.example/acme-words"])
def test_a_pin_without_a_hash_is_not_installed(tmp_path: Path, named: str) -> None:
    write_wheel(tmp_path / "wheels", "acme-words")
    app = of_pip(tmp_path, "", f"{named}\n")
    (tmp_path / "requirements.txt").write_text("acme-words\n" if "==" in named else f"{named}\n")
    (tmp_path / "pyproject.toml").write_text('[tool.uv]\nfind-links = ["wheels"]\n')
    with pytest.raises(BuildProblem, match="only files that match a hash"):
        build._dependencies(ARM, app)


def test_a_package_without_a_wheel_for_lambda_is_refused(tmp_path: Path, app: AppFolder) -> None:
    write_wheel(tmp_path / "wheels", "onlymac", tag="cp313-cp313-macosx_11_0_arm64")
    app.requirements.write_text(pyproject("onlymac", tag="cp313-cp313-macosx_11_0_arm64"))
    assert uv(tmp_path, "lock").returncode == 0
    with pytest.raises(BuildProblem) as problem:
        build._dependencies(ARM, app)
    said = str(problem.value)
    assert f"The packages in {app.lock} can't be installed for Lambda on arm64" in said
    assert "onlymac" in said
    assert "The package has no wheel for Lambda on arm64, Python 3." in said
    assert "Choose another version or another package" in said
    assert "set Architecture in samconfig.toml" in said
    assert "pip wheel --no-deps NAME -w wheels" in said


def test_wheels_are_taken_that_run_on_the_amazon_linux_of_the_python() -> None:
    assert Target("arm64", "python3.12").uv_platform == "aarch64-manylinux_2_34"
    assert Target("x86_64", "python3.11").uv_platform == "x86_64-manylinux_2_17"


# --- private indexes ------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    write_wheel(tmp_path / "served", "acme-secrets", code="SECRET = 7\n")
    with package_index(tmp_path / "served") as found:
        yield found


NAMED = """
[[tool.uv.index]]
name = "private"
url = "{url}"
explicit = {explicit}
[tool.uv.sources]
acme-secrets = {{ index = "private" }}
"""


@pytest.mark.parametrize("explicit", ["true", "false"])
def test_a_build_installs_from_an_index_that_pyproject_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: PackageIndex, explicit: str
) -> None:
    named = NAMED.format(url=index.url, explicit=explicit)
    text = PYPROJECT.replace("acme-tool", "acme-secrets").format('"acme-secrets"') + named
    app = write_app(tmp_path, {"pyproject.toml": text})
    without = uv(tmp_path, "lock").stderr
    assert "401 Unauthorized" in without
    password = {"UV_INDEX_PRIVATE_USERNAME": USER, "UV_INDEX_PRIVATE_PASSWORD": PASSWORD}
    assert uv(tmp_path, "lock", **password).returncode == 0
    assert PASSWORD not in app.lock.read_text()
    for name, value in password.items():
        monkeypatch.setenv(name, value)
    assert_installs(app, monkeypatch)


def test_an_index_that_refuses_the_password_is_not_called_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: PackageIndex
) -> None:
    named = NAMED.format(url=index.url, explicit="true")
    text = PYPROJECT.replace("acme-tool", "acme-secrets").format('"acme-secrets"') + named
    app = write_app(tmp_path, {"pyproject.toml": text})
    password = {"UV_INDEX_PRIVATE_USERNAME": USER, "UV_INDEX_PRIVATE_PASSWORD": PASSWORD}
    assert uv(tmp_path, "lock", **password).returncode == 0
    for given in ({}, password | {"UV_INDEX_PRIVATE_PASSWORD": "expired"}):
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(BuildProblem, match="has refused your password"):
            only_theirs(app, monkeypatch)


def test_a_lock_that_uv_made_is_not_outdated_by_a_variable_of_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: PackageIndex
) -> None:
    text = PYPROJECT.replace("acme-tool", "acme-secrets").format('"acme-secrets"')
    app = write_app(tmp_path, {"pyproject.toml": text})
    # the same index by two names
    monkeypatch.setenv("PIP_INDEX_URL", index.url_with_password.replace("127.0.0.1", "localhost"))
    assert uv(tmp_path, "lock", UV_DEFAULT_INDEX=index.url_with_password).returncode == 0
    assert "acme-secrets==1.0" in project_pins(app)
    assert_installs(app, monkeypatch)


@pytest.mark.parametrize("variable", ["UV_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_a_build_installs_from_the_index_in_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: PackageIndex, variable: str
) -> None:
    (wheel,) = index.wheels.iterdir()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    app = of_pip(tmp_path, f"acme-secrets==1.0 --hash=sha256:{digest}\n")
    monkeypatch.setenv(variable, index.url_with_password)
    assert_installs(app, monkeypatch)


def test_a_refused_password_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: PackageIndex
) -> None:
    app = of_pip(tmp_path, f"acme-secrets==1.0 --hash=sha256:{'0' * 64}\n")
    for wrong in ("wr0ng-word", PASSWORD):
        monkeypatch.setenv("PIP_INDEX_URL", index.url_with_password.replace(PASSWORD, wrong))
        with pytest.raises(BuildProblem) as problem:
            only_theirs(app, monkeypatch)
        assert wrong not in str(problem.value)
        assert "acme-secrets" in str(problem.value)


def only_theirs(app: AppFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the project's packages, without ours, which the private index doesn't have."""
    monkeypatch.setenv("UV_CACHE_DIR", str(app.path / "cache"))
    tree = app.path / "tree"
    build._install(Target.this_machine(), tree, project_pins(app), app)
    return tree


def assert_installs(app: AppFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (only_theirs(app, monkeypatch) / "acme_secrets.py").read_text() == "SECRET = 7\n"


# --- a checkout -----------------------------------------------------------------------------------


def test_a_checkout_installs_the_project_s_packages_into_its_environment(app: AppFolder) -> None:
    environment = app.path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    [packages] = environment.glob("lib/python3*/site-packages")
    [site] = {each for each in sys.path if each.endswith("site-packages")}
    (packages / "others.pth").write_text(site)
    subprocess.run(
        [python, "-m", "job_runners.building.app_requirements"],
        env={"PYTHONPATH": str(ROOT), "JOBS_PROJECT": str(app.path), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    assert (packages / "acme_words.py").exists()
    assert not (packages / "acme_tool.py").exists()


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
        (tmp_path / folder / "requirements.lock").touch()
    dev = commands("dev", tmp_path, *words)
    assert ("job_runners.building.app_requirements" in dev) == installs
