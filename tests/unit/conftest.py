"""Tests of this folder use no AWS, so that they take milliseconds."""

import pytest


@pytest.fixture
def aws() -> None:
    """Refuse what the other folders get here."""
    pytest.fail("A test that needs AWS belongs to another folder: tests/README.md")
