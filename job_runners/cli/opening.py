"""Open a secret address in the browser without showing it to other users of this machine.

Every user of the machine can see a browser's command line. So the browser opens a private file that
redirects to the address.
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
    """Open an address in the browser. The file that redirects to it exists until the with statement
    ends."""
    folder = Path(tempfile.mkdtemp(prefix="jobs-dashboard-"))  # mode 0700: only for this user
    try:
        file = folder / "open.html"
        file.touch(mode=0o600)
        file.write_text(_PAGE.format(url=html.escape(url)))
        if click.launch(file.as_uri()) != 0:
            webbrowser.open(file.as_uri())
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
