"""Run the tests that changed files can affect: `make test-changed`.

The files are those that differ from a commit (HEAD unless one is given), and those that git doesn't
know yet. A changed test runs itself. A file of tests/support runs the tests that use it. Any
other file runs the test folders that FOLDERS gives for it. Tests on the local AWS, tests of `make
test-more`, and tests that take a second or more run only if their own file has changed.
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
# The first pattern that fits a path decides.
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


def changed(base: str) -> list[str]:
    """Return the paths that differ from a commit, and the new ones."""
    commands = (["diff", "--name-only", base], ["ls-files", "--others", "--exclude-standard"])
    return [
        path
        for command in commands
        for path in subprocess.run(
            ["git", *command], cwd=CODE, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    ]


def chosen_for(path: str) -> set[str]:
    """Return the folders and files of tests that a changed file can affect."""
    if re.fullmatch(r"tests/support/\w+\.py", path):
        return _using(path)
    if re.fullmatch(r"tests/.*/test_\w+\.py", path):
        return {path} if (CODE / path).exists() else set()
    for pattern, folders in FOLDERS.items():
        if found := re.match(pattern, path):
            return {found.expand(each) for each in folders}
    return set()


def _using(support: str) -> set[str]:
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
    paths = changed(base)
    own = {path for path in paths if path.startswith("tests/") and chosen_for(path) == {path}}
    found = set(SMOKE).union(*map(chosen_for, paths)) - own
    long = list(json.loads((TESTS / "durations.json").read_text()))
    options = [word for name in long for word in ("--deselect", name)]
    quick = ["-m", "not e2e and not more", *options, *sorted(found)]
    pytest = [sys.executable, "-m", "pytest", "--quiet", "--numprocesses", "2"]
    print(" ".join(sorted(found | own)))
    codes = [subprocess.run([*pytest, *quick], cwd=CODE, check=False).returncode]
    if own:
        codes.append(subprocess.run([*pytest, *sorted(own)], cwd=CODE, check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
