"""Under a quota of unfinished jobs, whatever Lambda does: a job is counted until it has ended."""

from collections import Counter
from collections.abc import Set

import pytest

from histories.faults import Fault, of_seed
from histories.history import play_seed, simulated_aws
from histories.invariant_checker import Violation
from job_runners.store import conditional_write
from job_runners.store.job_request import JobRequest
from sizes import by_size

HISTORIES = by_size(5, 30)


def play(most: int = 1000, faults: Set[Fault] | None = None) -> Counter[str]:
    figures: Counter[str] = Counter()
    with simulated_aws(MAX_UNFINISHED_JOBS=str(most)):
        for seed in range(HISTORIES):
            figures += play_seed(seed, faults)
    return figures


@pytest.mark.timeout(120)
def test_no_kill_and_no_lost_answer_makes_the_count_drift(environment: None) -> None:
    play()


@pytest.mark.timeout(120)
def test_an_end_has_its_follow_ups_though_the_quota_is_reached(environment: None) -> None:
    faults = of_seed(0) | {Fault.FOLLOW_UPS, Fault.LIMITS, Fault.UNIQUE}
    figures = play(2, faults - {Fault.GROUPS})
    assert figures["refused by the quota"]
    assert figures["follow-ups"]


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
