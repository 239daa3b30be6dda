"""Opens an address in the browser without showing it to the other people of this machine.

A browser's command line can be read by all of them, so the address is not in it: what is opened is
a file of the caller's own, which leads there.
"""

import html
import shutil
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>Job Runners</title>
<p><a href="{url}">The dashboard</a></p>
"""


@contextmanager
def opened(url: str) -> Iterator[None]:
    """Open it; the file is there for as long as the with statement lasts."""
    folder = Path(tempfile.mkdtemp(prefix="jobs-dashboard-"))  # which nobody else may enter
    try:
        file = folder / "open.html"
        file.touch(mode=0o600)
        file.write_text(_PAGE.format(url=html.escape(url)))
        if click.launch(file.as_uri()) != 0:
            webbrowser.open(file.as_uri())
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
