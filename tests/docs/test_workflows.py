"""The workflows and the commit hooks: what they call exists, and what they may do is little."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from app_folders import pinned
from job_runners.places import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
HOOKS = ROOT / ".pre-commit-config.yaml"


def read(path: Path) -> dict[str, Any]:
    """Return the file with every value as text, so that the key `on` is no boolean."""
    found: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)
    return found


def workflow(name: str) -> dict[str, Any]:
    return read(ROOT / f".github/workflows/{name}.yml")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield f"{path.stem}.{name}", job


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job.get("steps", [])
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [line for step in steps(job) for line in step.get("run", "").splitlines()]


def assert_ours(command: str) -> None:
    """Check that it is a target of the Makefile, or a program of this repository; nothing else, and
    no shell."""
    words = command.split()
    if words[0] == "make":
        assert len(words) > 1
        assert set(words[1:]) <= TARGETS, f"no such target of the Makefile: {command}"
    else:
        assert os.access(ROOT / words[0], os.X_OK), f"not here, or not executable: {command}"


@pytest.mark.parametrize("name", [name for name, _ in jobs()])
def test_a_workflow_calls_what_exists(name: str) -> None:
    job = dict(jobs())[name]
    called = commands(job)
    for command in called:
        assert_ours(command)
    if "uses" in job:
        assert (ROOT / job["uses"]).is_file()
    else:
        assert called, f"{name} calls nothing"


def test_the_tests_run_on_every_python_that_is_supported() -> None:
    matrix = workflow("test")["jobs"]["test"]["strategy"]["matrix"]["python"]
    template = (ROOT / "template.yaml").read_text()
    (allowed,) = re.findall(r"AllowedValues: \[(python3[^\]]*)\]", template)
    assert [f"python{each}" for each in matrix] == allowed.split(", ")
    assert commands(workflow("test")["jobs"]["test"]) == [".ci/run"]
    run = (ROOT / ".ci/run").read_text()
    assert re.findall(r"export MORE=1|make .*", run) == ["export MORE=1", "make test"]


@pytest.mark.parametrize(
    ("more", "left_out", "django"),
    [("", "more", ['newest -m "not more"']), ("1", "nightly", ["newest", "6.0"])],
)
def test_make_test_runs_all_checks_and_all_tests_of_its_size(
    more: str, left_out: str, django: list[str]
) -> None:
    def planned(target: str) -> list[str]:
        words = ["make", "--dry-run", target, f"MORE={more}"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        return [line.strip() for line in done.stdout.replace("\\\n", "").splitlines()]

    lines = planned("test")
    assert set(planned("check")) <= set(lines)
    (ours,) = (each for each in lines if "-m pytest" in each)
    assert ours.endswith(f'-m "not {left_out}"')
    (others,) = (each for each in lines if "app_tests" in each)
    assert re.findall(r"test_django\.sh ([^&;]+?)(?= &&|; })", others) == django


def test_chaos_and_mutants_run_every_night() -> None:
    nightly = workflow("nightly")
    (each,) = nightly["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", each["cron"])
    called = [command for job in nightly["jobs"].values() for command in commands(job)]
    assert called == ["make chaos", "make mutants"]


def test_advisories_are_asked_for_every_day_and_when_a_lock_changes() -> None:
    advisories = workflow("advisories")
    (each,) = advisories["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", each["cron"])
    for event in ("push", "pull_request"):
        assert advisories["on"][event]["paths"] == ["requirements/**"]
    assert commands(advisories["jobs"]["audit"]) == ["make audit"]


def test_a_deploy_is_asked_for_and_comes_after_the_tests() -> None:
    deploy = workflow("deploy")
    assert deploy["on"] == {"workflow_dispatch": "", "push": {"tags": ["v*"]}}
    assert deploy["jobs"]["deploy"]["needs"] == "test"
    assert deploy["jobs"]["test"]["uses"] == "./.github/workflows/test.yml"
    assert commands(deploy["jobs"]["deploy"]) == ["make deploy", "make sbom"]


FAKE_GH = """#!/bin/sh
echo "$*" >> calls
case "$*" in *refs/tags*) ;; *) cat tagged ;; esac
"""
RELEASED = "## 0.3.0 (2026-12-01)"
UNRELEASED = "## 0.3.0 (unreleased)"
ADDRESS = "https://github.com/acme/job-runners"
UNSET_ADDRESS = ADDRESS.replace("acme", "OWNER")


@pytest.mark.parametrize(
    ("heading", "tagged", "code", "is_set"),
    [
        (RELEASED, None, 0, True),
        (RELEASED, "a1b2", 0, False),
        (RELEASED, "c3d4", 1, False),  # publish would publish other code than the tag's
        (UNRELEASED, None, 0, False),
    ],
)
def test_a_release_gets_its_tag_once(
    tmp_path: Path, heading: str, tagged: str | None, code: int, is_set: bool
) -> None:
    for name, text in {
        ".ci/tag_release": (ROOT / ".ci/tag_release").read_text(),
        "job_runners/__init__.py": '"""The client."""\n\n__version__ = "0.3.0"\n',
        "CHANGELOG.md": f"# Changes\n\n{heading}\n",
        "bin/gh": FAKE_GH,
        **({"tagged": tagged} if tagged else {}),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin/gh").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "GITHUB_REPOSITORY": "acme/jobs",
        "GITHUB_SHA": "a1b2",
    }
    script = ["sh", str(tmp_path / ".ci/tag_release")]
    done = subprocess.run(script, env=environment, check=False, timeout=120)
    assert done.returncode == code
    calls = tmp_path / "calls"
    asked = calls.read_text().splitlines() if calls.exists() else []
    looks = "api repos/acme/jobs/git/ref/tags/v0.3.0 --jq .object.sha"
    sets = "api --silent repos/acme/jobs/git/refs -f ref=refs/tags/v0.3.0 -f sha=a1b2"
    assert asked == [looks] * (heading == RELEASED) + [sets] * is_set


def test_a_release_is_tagged_after_the_tests() -> None:
    release = workflow("release")
    assert release["on"]["push"] == {"branches": ["main"], "paths": ["CHANGELOG.md"]}
    jobs = release["jobs"]
    assert jobs["check"]["if"] == "github.ref == 'refs/heads/main'"
    assert commands(jobs["check"]) == [".ci/check_release"]
    assert jobs["test"]["needs"] == jobs["upgrades"]["needs"] == "check"
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert commands(jobs["upgrades"]) == ["make test-nightly"]
    assert jobs["build"]["needs"] == ["test", "upgrades"]
    assert jobs["tag"]["needs"] == "build"
    assert commands(jobs["tag"]) == [".ci/tag_release"]


def test_the_site_of_main_is_published_and_that_of_a_branch_only_built() -> None:
    docs = workflow("docs")["jobs"]
    assert docs["build"]["if"] == "github.ref != 'refs/heads/main'"
    assert commands(docs["build"]) == ["make docs"]
    assert docs["publish"]["if"] == "github.ref == 'refs/heads/main'"
    assert commands(docs["publish"]) == ["make docs", ".ci/publish_docs"]


def test_the_published_branch_has_the_files_of_the_site(tmp_path: Path) -> None:
    remote = tmp_path / "acme" / "jobs"
    subprocess.run(["git", "init", "--quiet", "--bare", remote], check=True)
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci/publish_docs"
    script.write_text((ROOT / ".ci/publish_docs").read_text())
    static = tmp_path / "dist/site/_static"
    static.mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GH_TOKEN": "t",
        "GITHUB_SHA": "a1b2",
        "GITHUB_SERVER_URL": f"file://{tmp_path}",
        "GITHUB_REPOSITORY": "acme/jobs",
    }
    for text in ("old", "new"):
        (static / "page.css").write_text(text)
        subprocess.run(["sh", script], env=environment, check=True, timeout=120)
    git = ["git", "--git-dir", str(remote)]
    listed = [*git, "ls-tree", "-r", "--name-only", "gh-pages"]
    assert subprocess.check_output(listed, text=True).split() == [".nojekyll", "_static/page.css"]
    shown = subprocess.check_output([*git, "show", "gh-pages:_static/page.css"], text=True)
    assert shown == "new"


FAKE_PYTHON = """#!/bin/sh
echo "python $*" | head -1 >> calls
"""


def run_script(folder: Path, name: str, files: dict[str, str]) -> tuple[int, str, list[str]]:
    """Run a script of .ci in a folder with these files. Return its code, output and calls."""
    for path, text in {**files, f".ci/{name}": (ROOT / ".ci" / name).read_text()}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    done = subprocess.run(
        ["sh", folder / ".ci" / name],
        env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    calls = folder / "calls"
    called = calls.read_text().splitlines() if calls.exists() else []
    return done.returncode, done.stdout + done.stderr, called


@pytest.mark.parametrize(
    ("heading", "address", "code", "said"),
    [
        (RELEASED, ADDRESS, 0, ""),
        (RELEASED, UNSET_ADDRESS, 1, "Replace OWNER"),
        (UNRELEASED, UNSET_ADDRESS, 0, "unreleased"),
    ],
)
def test_a_release_without_its_address_is_refused(
    tmp_path: Path, heading: str, address: str, code: int, said: str
) -> None:
    files = {
        "CHANGELOG.md": f"# Changes\n\n{heading}\n",
        "pyproject.toml": f'Repository = "{address}"\n',
    }
    ended, output, _ = run_script(tmp_path, "check_release", files)
    assert ended == code
    assert said in output


@pytest.mark.parametrize(
    ("heading", "said", "is_built"),
    [(RELEASED, "", True), (UNRELEASED, "nothing is built", False)],
)
def test_a_release_is_built_from_its_source_distribution(
    tmp_path: Path, heading: str, said: str, is_built: bool
) -> None:
    files = {
        "job_runners/__init__.py": '"""The client."""\n\n__version__ = "0.3.0"\n',
        "CHANGELOG.md": f"# Changes\n\n{heading}\n",
        "bin/make": '#!/bin/sh\necho "make $*" >> calls\n',
        ".venv/bin/python": FAKE_PYTHON,
    }
    code, output, called = run_script(tmp_path, "build_release", files)
    assert said in output
    assert code == 0
    if not is_built:
        assert called == []
        return
    source = "dist/job_runners-0.3.0.tar.gz"
    make, sdist, wheel, check = called
    assert (make, sdist) == ("make dev", "python -m hatchling build -t sdist -d dist")
    assert wheel.endswith(f"--wheel-dir dist {source}")
    assert check.startswith("python -I -S -c")


# Makes an environment with a pip and a uv that note their calls, and the file that pip reads.
FAKE_VENV = r"""#!/bin/sh
mkdir -p "$3/bin"
cat >"$3/bin/pip" <<'END'
#!/bin/sh
echo "pip $*" >> calls
for last; do :; done
cat "$last" > locked
END
printf '#!/bin/sh\necho "uv $*" >> calls\n' > "$3/bin/uv"
chmod +x "$3/bin/pip" "$3/bin/uv"
"""


def test_the_built_files_are_published_by_the_locked_uv_alone(tmp_path: Path) -> None:
    names = ("job_runners-0.3.0-py3-none-any.whl", "job_runners-0.3.0.tar.gz")
    files = {
        "requirements/dev.txt": (ROOT / "requirements/dev.txt").read_text(),
        "bin/python3": FAKE_VENV,
        **{f"dist/{name}": "" for name in (*names, "sbom.cdx.json")},
    }
    code, output, (install, publish) = run_script(tmp_path, "publish_release", files)
    assert (code, output) == (0, "")
    assert {"--require-hashes", "--only-binary", ":all:"} <= set(install.split())
    locked = (tmp_path / "locked").read_text()
    assert re.findall(r"^\S+==", locked, re.MULTILINE) == ["uv=="]
    assert locked.strip() in pinned("uv")
    assert publish.startswith("uv publish --trusted-publishing always --check-url https://")
    assert publish.endswith(" ".join(f"dist/{name}" for name in names))
    assert not list(tmp_path.glob("tmp.*"))


def test_a_release_is_attested_and_published_where_that_is_switched_on() -> None:
    release = workflow("release")["jobs"]
    build, publish = release["build"], release["publish"]
    assert commands(build) == [".ci/build_release"]
    assert "permissions" not in build  # those of the workflow: it reads
    upload = steps(build)[-1]
    assert build["outputs"] == {"files": f"${{{{ steps.{upload['id']}.outputs.artifact-id }}}}"}
    assert upload["with"]["path"] == "dist/job_runners-*"
    assert publish["needs"] == ["build", "tag"]
    assert publish["if"] == "vars.PUBLISH_TO_PYPI == 'true' && needs.build.outputs.files != ''"
    assert publish["environment"] == "pypi"
    assert commands(publish) == [".ci/publish_release"]
    download, attest, run = steps(publish)[-3:]
    assert download["with"] == {"name": upload["with"]["name"], "path": "dist"}
    assert attest["uses"].startswith("actions/attest@")
    assert attest["with"] == {"subject-path": "dist/job_runners-*"}
    assert run["run"] == ".ci/publish_release"


def test_the_address_of_the_repository_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    address = project["urls"]["Repository"].removeprefix("https://")
    names = subprocess.run(
        ["git", "grep", "--files-with-matches", "--fixed-strings", address],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert names in (["pyproject.toml"], [])  # a copy of the checkout has no git


def test_what_was_deployed_is_kept_as_a_bill_of_materials() -> None:
    (kept,) = [
        step["with"]
        for step in steps(workflow("deploy")["jobs"]["deploy"])
        if step.get("uses", "").startswith("actions/upload-artifact@")
    ]
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^SBOM \?= (.+)$", makefile, re.MULTILINE) == [kept["path"]]
    assert kept["if-no-files-found"] == "error"


def test_a_deploy_compiles_with_the_python_of_the_functions() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = config["default"]["global"]["parameters"]["parameter_overrides"]
    (setup,) = [
        step["with"]
        for step in steps(workflow("deploy")["jobs"]["deploy"])
        if step.get("uses", "").startswith("actions/setup-python@")
    ]
    assert f"PythonRuntime=python{setup['python-version']}" in overrides


def test_workflows_read_and_only_three_jobs_may_do_more() -> None:
    assert WORKFLOWS
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}, path.name
    permissions = {name: job["permissions"] for name, job in jobs() if "permissions" in job}
    assert permissions == {
        "deploy.deploy": {"contents": "read", "id-token": "write"},
        "docs.publish": {"contents": "write"},
        "release.publish": {"attestations": "write", "contents": "read", "id-token": "write"},
        "release.tag": {"contents": "write"},
    }
    (role,) = [
        step["with"]
        for step in steps(workflow("deploy")["jobs"]["deploy"])
        if step.get("uses", "").startswith("aws-actions/configure-aws-credentials@")
    ]
    assert role["role-to-assume"] == "${{ vars.AWS_DEPLOY_ROLE_ARN }}"
    assert not {"aws-access-key-id", "aws-secret-access-key"} & role.keys()


@pytest.mark.parametrize(
    ("name", "pattern", "new", "rule"),
    [
        ("test", "@[0-9a-f]{40} # v", "@v", "unpinned-uses"),  # a tag can be moved to other code
        ("deploy", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        # Other runs write the cache, and what it holds would run with the job's rights.
        ("deploy", "python-version:", "cache: pip\n          python-version:", "cache-poisoning"),
    ],
)
def test_lint_finds_an_unsafe_workflow(
    tmp_path: Path, name: str, pattern: str, new: str, rule: str
) -> None:
    (command,) = re.findall(r"\(\.venv/bin/(zizmor .*) \.github\)", (ROOT / "Makefile").read_text())
    program, *options = command.split()
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    for path in WORKFLOWS:
        text = path.read_text()
        if path.stem == name:
            assert re.search(pattern, text)
            text = re.sub(pattern, new, text, count=1)
        (folder / path.name).write_text(text)
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *options, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert f"[{rule}]" in done.stdout


def test_the_workflow_of_a_project_restores_no_cache() -> None:
    assert "cache" not in (ROOT / "job_runners/building/project/deploy.yml.in").read_text()


def test_a_job_with_rights_in_a_project_installs_only_what_is_locked() -> None:
    text = (ROOT / "job_runners/building/project/deploy.yml.in").read_text()
    project = yaml.load(Template(text).substitute(python="3.13"), yaml.BaseLoader)
    with_rights = [job for job in project["jobs"].values() if "id-token" in str(job)]
    assert with_rights
    installs = []
    for command in [each for job in with_rights for each in commands(job)]:
        assert "uvx" not in command
        if "pip " in command:
            assert {"--require-hashes", "--only-binary", '"$RUNNER_TEMP/uv.txt"'} <= set(
                command.split()
            )
            installs.append("uv")
        elif command.startswith("uv "):
            assert command == "uv sync --locked --no-build"
            installs.append("uv.lock")
    assert installs == ["uv", "uv.lock"]


def test_the_workflows_of_a_project_pin_the_uv_of_our_own_lock() -> None:
    ours = pinned("uv")
    for name in ("test", "deploy", "advisories"):
        text = (ROOT / f"job_runners/building/project/{name}.yml.in").read_text()
        (version, digest) = re.findall(r"echo '(uv==\S+) (--hash=sha256:\w+)'", text)[0]
        assert f"{version} " in ours
        assert digest in ours


def test_no_text_of_a_pull_request_becomes_part_of_a_command() -> None:
    assert [line for _, job in jobs() for line in commands(job) if "${{" in line] == []


def test_commit_hooks_are_local_and_call_the_makefile() -> None:
    config = read(HOOKS)
    assert [each["repo"] for each in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    for hook in hooks:
        assert hook["language"] == "system"  # pre-commit makes no environment, and fetches nothing
        assert hook["pass_filenames"] == "false"
        assert_ours(hook["entry"])
    at_commit = [hook["entry"] for hook in hooks if hook["stages"] == ["pre-commit"]]
    assert at_commit == ["make format", "make check"]


OLD_PYTHON = "#!/bin/sh\nexit 1\n"  # what an older Python answers to the question for its version


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"DJANGO_TESTS": "required"}, 1)])
def test_tests_of_django_tasks_are_skipped_with_a_message_and_never_in_ci(
    tmp_path: Path, environment: dict[str, str], code: int
) -> None:
    assert "export DJANGO_TESTS=required\n" in (ROOT / ".ci/run").read_text()
    for name in ("python", "python3.12", "python3.13", "python3.14"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(OLD_PYTHON)
        program.chmod(0o755)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/made-from").write_text(f"cksum\n{tmp_path / 'bin/python'}\n")
    done = subprocess.run(
        ["sh", ROOT / "tools/test_django.sh", "newest"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "they need Python 3.12 or later" in done.stderr
