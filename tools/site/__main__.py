"""Build the site: python -m tools.site [FOLDER]. `make docs` calls it.

Sphinx and Pagefind run in their own environment, .venv-docs. They need no network. If Sphinx warns,
the build fails.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from job_runners import __version__
from job_runners.places import CODE
from tools.site import http_api, pages, search

_PYTHON = CODE / ".venv-docs" / "bin" / "python"
_SUMMARY = "Background jobs on AWS Lambda in Python, without a broker and without servers."


def build(out: Path) -> int:
    """Build the site into a folder, and return the exit code."""
    source = out.parent / f"{out.name}-pages"
    found = pages.write(source, os.environ.get("REPOSITORY_URL"))
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
    done = subprocess.run(
        [_PYTHON, "-m", "sphinx", *options, "--doctree-dir", source / ".doctrees", source, out],
        env={**os.environ, "SITE_VERSION": __version__},
        check=False,
    )
    if done.returncode == 0:
        (out / "searchindex.js").unlink()  # of Sphinx's search, which ranks worse
        (out / "llms.txt").write_text("\n".join(_llms(found)) + "\n")
        (out / "llms-full.txt").write_text("\n".join(_everything(source, found)))
        (out / "openapi.json").write_text(json.dumps(http_api.document(), indent=1) + "\n")
    return done.returncode or search.index(out, source / ".searched", _PYTHON)


def _llms(found: pages.Sections) -> Iterator[str]:
    """Yield the lines of llms.txt: each page with its title, as Markdown."""
    yield f"# Job Runners {__version__}\n\n> {_SUMMARY}\n"
    for name, listed in found.items():
        yield f"## {name}\n"
        for page in listed:
            yield f"- [{pages.title(page)}](_sources/{page}.txt)"
        yield ""


def _everything(source: Path, found: pages.Sections) -> Iterator[str]:
    """Yield the text of each page for users: one file for a program that reads everything."""
    for name, listed in found.items():
        if name != "Contributing":
            yield from ((source / page).read_text() for page in listed)


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else CODE / "dist" / "site").absolute()))
