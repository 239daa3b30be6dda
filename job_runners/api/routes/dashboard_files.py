"""Serve the dashboard's files, which anyone may read because they contain no data.

The functions import `job_runners.dashboard.files` when they run, because few requests need it.
"""

from typing import TYPE_CHECKING

from job_runners.api.access import Event
from job_runners.api.body import header
from job_runners.api.errors import PathNotFound
from job_runners.api.responses import Response

if TYPE_CHECKING:
    from job_runners.dashboard.files import Asset


def get_page(event: Event) -> Response:
    """Return the dashboard's page."""
    from job_runners.dashboard import files

    return _response(event, files.page(), immutable=False)


def get_asset(event: Event, version: str, name: str) -> Response:
    """Return the current version of a dashboard file, even if the path names another version.
    Raises PathNotFound."""
    from job_runners.dashboard import files

    asset = files.find(name)
    if asset is None:
        raise PathNotFound
    return _response(event, asset, immutable=version == files.version())


def _response(event: Event, asset: "Asset", *, immutable: bool) -> Response:
    headers = asset.headers(immutable=immutable)
    if asset.etag in (header(event, "if-none-match") or ""):
        return Response(304, headers=headers)
    if "gzip" in (header(event, "accept-encoding") or ""):
        headers["Content-Encoding"] = "gzip"
        return Response(200, asset.content_type, asset.zipped, headers)
    return Response(200, asset.content_type, asset.body.decode(), headers)
