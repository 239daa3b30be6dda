"""Which rows code of an earlier version may claim: all but those that it would get wrong."""

from typing import Any

import pytest

from job_rows import ERROR, claimed, saved, stored
from job_runners.store import owner_verbs, verbs
from job_runners.store.job_request import LIMITED_VERSION, UNIQUE_VERSION

pytestmark = pytest.mark.usefixtures("aws")

MEANS = [
    ({}, 1),
    ({"counted": True}, LIMITED_VERSION),
    ({"unique_key": "k"}, UNIQUE_VERSION),
    ({"counted": True, "unique_key": "k"}, UNIQUE_VERSION),
]


@pytest.mark.parametrize(("means", "version"), [*MEANS, ({"queue_key": "*"}, LIMITED_VERSION)])
def test_a_new_job_is_for_code_that_knows_what_it_means(
    means: dict[str, Any], version: int
) -> None:
    assert stored(saved(**means)).row_version == version


@pytest.mark.parametrize(("means", "version"), MEANS)
def test_a_job_that_is_queued_again_is_for_code_that_knows_what_it_means_now(
    means: dict[str, Any], version: int
) -> None:
    failed = verbs.fail(claimed(), ERROR)
    row = owner_verbs.requeue(failed, max_attempts=1, **means)
    assert stored(row).row_version == version
