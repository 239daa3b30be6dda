"""Pages for users name one command, `job-runners`. `make` is for work on this repository."""

import re

from job_runners.places import CODE

# Until the first publication, the wheel comes from a checkout, so every page may name `make wheel`.
_MAKE = re.compile(r"(?:^|`|[$;&(] ?)make (?!wheel\b)[a-z]", re.MULTILINE)
_FOR_CONTRIBUTORS = ("contributing/", "decisions/")


def test_users_pages_name_no_make() -> None:
    docs = CODE / "docs"
    pages = {path.relative_to(docs).as_posix(): path for path in docs.rglob("*.md")}
    users = {name: path for name, path in pages.items() if not name.startswith(_FOR_CONTRIBUTORS)}
    assert "index.md" in users
    naming = {name for name, path in users.items() if _MAKE.search(path.read_text("utf-8"))}
    assert naming == set()
