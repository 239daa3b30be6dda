"""Build the site: python -m tools.site [FOLDER]. `make docs` calls it.

Sphinx runs in its own environment, .venv-docs. It needs no network. If it warns, the build fails.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from job_runners import __version__
from job_runners.places import ROOT
from tools.site import http_api, pages

_SPHINX = ROOT / ".venv-docs" / "bin" / "sphinx-build"
_SUMMARY = "Background jobs on AWS Lambda in Python, without a broker and without servers."


def build(out: Path, sphinx: Path = _SPHINX) -> int:
    """Build the site into a folder, and return Sphinx's exit code."""
    source = out.parent / f"{out.name}-pages"
    found = pages.write(source, os.environ.get("REPOSITORY_URL"))
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
    done = subprocess.run(
        [sphinx, *options, "--doctree-dir", source / ".doctrees", source, out],
        env={**os.environ, "SITE_VERSION": __version__},
        check=False,
    )
    if done.returncode == 0:
        (out / "llms.txt").write_text("\n".join(_llms(found)) + "\n")
        (out / "openapi.json").write_text(json.dumps(http_api.document(), indent=1) + "\n")
    return done.returncode


def _llms(found: pages.Sections) -> Iterator[str]:
    """Yield the lines of llms.txt: each page with its title, as Markdown."""
    yield f"# Job Runners {__version__}\n\n> {_SUMMARY}\n"
    for name, listed in found.items():
        yield f"## {name}\n"
        for page in listed:
            (title, *_) = re.findall(r"^# (.*)$", (ROOT / page).read_text(), re.MULTILINE)
            yield f"- [{title}](_sources/{page}.txt)"
        yield ""


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist" / "site").absolute()))
