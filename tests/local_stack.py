"""Fixtures for tests on the local AWS: the real template, built and deployed once for all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.api_client import ApiClient
from local.stack import Stack
from local.up import local_stack


@dataclass(frozen=True)
class Local:
    """A deployed stack and what it was built from."""

    stack: Stack
    tree: Path  # what every function runs

    @property
    def api(self) -> ApiClient:
        """The stack's API, called as a service would."""
        return ApiClient(self.stack)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """The stack that the end-to-end tests share."""
    home = tmp_path_factory.mktemp("local")
    with local_stack(home) as stack:
        yield Local(stack, home / "build" / "ApiFunction")
