"""Under a quota of unfinished jobs, whatever Lambda does: a job is counted until it has ended."""

import pytest

from job_runners.store import conditional_write
from job_runners.store.job_request import JobRequest
from job_runners.testing.simulation.history import play_seed, simulated_aws
from job_runners.testing.simulation.invariant_checker import Violation
from sizes import by_size

HISTORIES = by_size(5, 30)

pytestmark = pytest.mark.sized


def play() -> None:
    with simulated_aws(MAX_UNFINISHED_JOBS="1000"):
        for seed in range(HISTORIES):
            play_seed(seed)


@pytest.mark.timeout(120)
def test_no_kill_and_no_lost_answer_makes_the_count_drift(environment: None) -> None:
    play()


def test_one_that_ends_and_is_still_counted_is_noticed(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = conditional_write.finish_actions
    stays = str(JobRequest.unfinished_organization.remove())
    monkeypatch.setattr(
        conditional_write,
        "finish_actions",
        lambda end: [each for each in finished(end) if str(each) != stays],
    )
    with pytest.raises(Violation, match="counted toward its quota: True"):
        play()
