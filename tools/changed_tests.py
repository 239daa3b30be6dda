"""Run the tests that changed files can affect: `make test-changed`.

Changed files are untracked, or differ from a commit (by default HEAD). For a changed test file, run
that file. For a file of tests/support, run the tests that use it. For any other file, run its test
folders in FOLDERS. Tests that take a second or more run only if their own file has changed. Tests
on the local AWS and long tests don't run.

pytest-testmon doesn't do this: it follows only the Python code that a test's own process runs. For
a changed page or template, or code that runs in a child process, it runs nothing. And its first run
in a checkout takes all tests.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from job_runners.places import CODE

TESTS = CODE / "tests"
SMOKE = (
    "tests/unit/test_messages.py",
    "tests/store/test_transitions.py",
    "tests/runners/test_sending.py",
)
# The test folders for a changed file. The first pattern that matches its path counts.
FOLDERS = {
    r"job_runners/engine/(wire/|\w+\.py)": ("tests/engine", "tests/runners"),
    r"job_runners/engine/(\w+)/": (r"tests/engine/\1",),
    r"(job_runners/)?runners/": ("tests/runners",),
    r"(job_runners/)?handlers/": ("tests/http", "tests/runners", "tests/engine/tick"),
    r"job_runners/(store|aws)/": ("tests/store", "tests/engine/unique"),
    r"job_runners/work/": ("tests/engine/running",),
    r"job_runners/shipped/": ("tests/shipped",),
    r"job_runners/api/": ("tests/http",),
    r"job_runners/client/|examples/": ("tests/client",),
    r"job_runners/cli/": ("tests/cli",),
    r"job_runners/dashboard/": ("tests/dashboard",),
    r"job_runners/local/": ("tests/local",),
    r"tests/support/emulated_aws/": ("tests/local",),
    r"(job_runners/testing/simulation|tests/support/histories)/": (
        "tests/proofs/test_adversary.py",
    ),
    r"job_runners/testing/": ("tests/testing",),
    r"job_runners/building/|template|samconfig|requirements/": ("tests/build",),
    r"job_runners/": ("tests/engine/running", "tests/http"),
    r"tools/mutants/|model/": ("tests/proofs/test_mutants.py", "tests/proofs/test_model.py"),
    r".*\.md$|docs/|tools/|\.github/|\.ci/|Makefile|pyproject": ("tests/docs",),
}


def changed_paths(base: str) -> list[str]:
    """Return the paths of files that differ from a commit or are untracked."""
    commands = (["diff", "--name-only", base], ["ls-files", "--others", "--exclude-standard"])
    paths: list[str] = []
    for command in commands:
        process = subprocess.run(
            ["git", *command], cwd=CODE, capture_output=True, text=True, check=True
        )
        paths += process.stdout.splitlines()
    return paths


def paths_to_test(path: str) -> set[str]:
    """Return the folders and files of tests that a changed file can affect."""
    if re.fullmatch(r"tests/support/\w+\.py", path):
        return _tests_using(path)
    if re.fullmatch(r"tests/.*/test_\w+\.py", path):
        return {path} if (CODE / path).exists() else set()
    for pattern, folders in FOLDERS.items():
        if match := re.match(pattern, path):
            return {match.expand(folder) for folder in folders}
    return set()


def _tests_using(support: str) -> set[str]:
    """Return the test files that import a module of tests/support, or name a fixture of it."""
    if not (CODE / support).exists():
        return set()
    text = (CODE / support).read_text()
    fixtures = re.findall(r"^@pytest\.fixture.*\ndef (\w+)", text, re.MULTILINE)
    imported = rf"^(?:from|import) {Path(support).stem}\b"
    using = re.compile("|".join([imported, *(rf"\b{name}\b" for name in fixtures)]), re.MULTILINE)
    files = sorted(TESTS.rglob("test_*.py"))
    return {str(file.relative_to(CODE)) for file in files if using.search(file.read_text())}


def main(base: str = "HEAD") -> int:
    """Run pytest. Return its exit code."""
    chosen = set(SMOKE).union(*map(paths_to_test, changed_paths(base)))
    command = [sys.executable, "-m", "pytest", "--quiet", "--numprocesses", "2"]
    command += ["-m", "not e2e and not more"]
    for slow_test in json.loads((TESTS / "durations.json").read_text()):
        if slow_test.partition("::")[0] not in chosen:
            command += ["--deselect", slow_test]
    print(" ".join(sorted(chosen)))
    return subprocess.run([*command, *sorted(chosen)], cwd=CODE, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
