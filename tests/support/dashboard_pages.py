"""Pages of the dashboard, opened for a test."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def serious(page: Page) -> list[str]:
    """Return what axe finds that keeps somebody from using the page, or from finding their way in
    it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
        if each["impact"] in ("serious", "critical") or each["id"].startswith("landmark")
    ]
