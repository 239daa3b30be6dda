"""How a job asks a person or another system for an answer: `RunningJob.signal_url`."""

from collections.abc import Sequence
from typing import Any

from job_runners.names import check_signal_name, without_surrogates
from job_runners.settings import settings
from job_runners.store import answer_links, steps
from job_runners.work.errors import NoPublicUrl
from job_runners.work.waiting import end_of, record, require_next_invocation, take_name

LONGEST_TEXT = 2_000  # characters
LONGEST_CHOICE = 100  # characters
MOST_CHOICES = 20


def signal_url(job: Any, name: str, text: str, choices: Sequence[str], timeout: float) -> str:
    """Return the URL that stores its answer as the signal `name` of this job (a RunningJob)."""
    check_signal_name(name)
    _check(text, choices)
    step_name = f"{answer_links.STEP}{name}"
    take_name(job, step_name, name, what="URL for the signal")
    found = job._keep_trying(lambda: steps.find(job._row, step_name))
    if found is None:
        require_next_invocation(job, "asks for an answer")  # an answer would come too late
        _store(job, step_name, name, text, choices, end_of(job, name, timeout))
        found = job._keep_trying(lambda: steps.find(job._row, step_name))
    url: str = found.result
    return url


def _store(
    job: Any, step_name: str, name: str, text: str, choices: Sequence[str], until: int
) -> None:
    """Store a new link with the step that has its URL, unless the step is there."""
    address = settings().public_url
    if address is None:
        raise NoPublicUrl
    link = answer_links.new(job._row, name, text, choices, until)
    record(job, steps.new(job._row, step_name, f"{address}{link.path}"), link)


def _check(text: str, choices: Sequence[str]) -> None:
    """Raise ValueError for a question that the page can't show."""
    if isinstance(choices, str):
        raise ValueError(f"choices={choices!r} is one text. Pass a tuple of texts.")
    for what, each, longest in [
        ("text", text, LONGEST_TEXT),
        *(("choice", each, LONGEST_CHOICE) for each in choices),
    ]:
        if not each.strip() or len(each) > longest or without_surrogates(each) != each:
            raise ValueError(
                f"The {what} {each[:LONGEST_CHOICE]!r} isn't allowed. "
                f"Use 1 to {longest:,} characters that UTF-8 can encode."
            )
    if len(choices) > MOST_CHOICES or len(set(choices)) < len(choices):
        raise ValueError(f"Pass at most {MOST_CHOICES} choices, each once.")
