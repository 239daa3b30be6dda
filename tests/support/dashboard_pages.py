"""Pages of the dashboard, opened for a test."""

from itertools import product
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SCHEMES: tuple[Any, ...] = ("dark", "light")
WIDTHS = (390, 1400)  # pixels: of a phone, and of a laptop
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def findings(page: Page) -> list[str]:
    """Return all that axe finds on the page as it is."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


def looks(page: Page) -> list[str]:
    """Return all that axe finds on the page, and by how much it scrolls sideways, in light and dark
    mode on a phone and a laptop."""
    found = []
    for scheme, width in product(SCHEMES, WIDTHS):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        wider = page.evaluate(_WIDER)
        told = [*findings(page), *([f"{wider} pixels wider than the screen"] if wider else [])]
        found += [f"{scheme}, {width}: {each}" for each in told]
    return found
