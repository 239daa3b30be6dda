"""Record the effects of a job on the outside world, for the fake services of a test."""

from collections.abc import Callable
from typing import Any


class Effects:
    """A recorder for the fake services of a test. An effect is something that can't be undone.

    It treats idempotency keys as a real service does: under the same key, an effect happens only
    once. A process may be killed right after it records an effect: the service has then done its
    part, but the job never got the response.
    """

    def __init__(self) -> None:
        self._seen: list[Any] = []
        self._outside_steps: list[Any] = []
        self._keys: set[str] = set()
        # The simulated Lambda (scripted_lambda.py) replaces these functions. The first one returns
        # the step or task that is running, or None in a job outside its steps.
        self.current_step: Callable[[], str | None] = lambda: None
        self.before_recording: Callable[[], None] = lambda: None
        self.on_recorded: Callable[[], None] = lambda: None

    def record(
        self, what: Any, *, idempotency_key: str | None = None, at_least_once: bool = False
    ) -> bool:
        """Record an effect. Return False if it only repeats an effect with the same key.

        `what` distinguishes the effect from others. It must be the same in every run of the job, so
        don't put a time or an attempt number into it.

        Pass `at_least_once=True` for a system that takes no key, such as a mail server, if the
        effect may happen again when a worker dies in its step. Then only a repetition outside a
        step is reported.
        """
        self.before_recording()
        step = self.current_step()
        if step is None:
            self._outside_steps.append(what)
        elif at_least_once:
            idempotency_key = f"{step} {what!r}"
        is_new = idempotency_key is None or idempotency_key not in self._keys
        if idempotency_key is not None:
            self._keys.add(idempotency_key)
        if is_new:
            self._seen.append(what)
        self.on_recorded()
        return is_new

    @property
    def seen(self) -> list[Any]:
        """The effects so far, in order."""
        return list(self._seen)

    @property
    def outside_steps(self) -> list[Any]:
        """The effects of jobs outside their steps, in order, with those that repeat a key."""
        return list(self._outside_steps)

    def clear(self) -> None:
        """Forget everything, keys included."""
        self._seen.clear()
        self._outside_steps.clear()
        self._keys.clear()
