"""Create the links through which a person or another system answers a job's question."""

from collections.abc import Sequence
from typing import Any

from job_runners.names import check_signal_name, without_surrogates
from job_runners.settings import settings
from job_runners.store import answer_links, steps
from job_runners.work.errors import NoPublicUrl
from job_runners.work.waiting import require_next_invocation, store_once, use_name, wait_end

MAX_TEXT_LENGTH = 2_000  # characters
MAX_CHOICE_LENGTH = 100  # characters
MAX_CHOICES = 20


def signal_url(job: Any, name: str, text: str, choices: Sequence[str], timeout: float) -> str:
    """Return a URL that sends the signal `name` to this job. See `RunningJob.signal_url`."""
    check_signal_name(name)
    _check_question(text, choices)
    step_name = f"{answer_links.STEP_PREFIX}{name}"
    use_name(job, step_name, name, noun="URL for the signal")
    step = job._keep_trying(lambda: steps.find(job._row, step_name))
    if step is None:
        # Without another invocation, the job couldn't use the answer.
        require_next_invocation(job, "asks for an answer")
        address = settings().public_url
        if address is None:
            raise NoPublicUrl
        link = answer_links.new(job._row, name, text, choices, wait_end(job, name, timeout))
        # If another invocation has stored the step in the meantime, nothing is stored here, and the
        # link of that invocation is used.
        store_once(job, steps.new(job._row, step_name, f"{address}{link.path}"), link)
        step = job._keep_trying(lambda: steps.find(job._row, step_name))
    url: str = step.result
    return url


def _check_question(text: str, choices: Sequence[str]) -> None:
    """Raise ValueError for a text or choices that the page can't show."""
    if isinstance(choices, str):
        raise ValueError(f"choices={choices!r} is one text. Pass a tuple of texts.")
    _check_text("text", text, MAX_TEXT_LENGTH)
    for choice in choices:
        _check_text("choice", choice, MAX_CHOICE_LENGTH)
    if len(choices) > MAX_CHOICES or len(set(choices)) < len(choices):
        raise ValueError(f"Pass at most {MAX_CHOICES} choices, each once.")


def _check_text(what: str, text: str, max_length: int) -> None:
    if not text.strip() or len(text) > max_length or without_surrogates(text) != text:
        raise ValueError(
            f"The {what} {text[:MAX_CHOICE_LENGTH]!r} isn't allowed. "
            f"Use 1 to {max_length:,} characters that UTF-8 can encode."
        )
