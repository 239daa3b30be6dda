"""Record a job's side effects on the outside world, which a test's fake services report."""

from collections.abc import Callable
from typing import Any


class Effects:
    """Records side effects, such as payments and mails, for a test's fake services.

    As in a real service, side effects with the same idempotency key happen only once. The simulated
    Lambda may kill the job right after a side effect was recorded, so that the service has acted
    but the job never gets the response.
    """

    def __init__(self) -> None:
        self._seen: list[Any] = []
        self._outside_steps: list[Any] = []
        self._keys: set[str] = set()
        # The simulated Lambda (scripted_lambda.py) replaces these functions. `current_step` returns
        # the running step or task, or None while a job runs outside its steps.
        self.current_step: Callable[[], str | None] = lambda: None
        self.before_recording: Callable[[], None] = lambda: None
        self.on_recorded: Callable[[], None] = lambda: None

    def record(
        self, what: Any, *, idempotency_key: str | None = None, at_least_once: bool = False
    ) -> bool:
        """Record a side effect. Return False if its idempotency key was already used.

        `what` describes it. It must be the same in every run of the job, so it must not
        contain a time or an attempt number.

        Some systems, such as a mail server, take no keys. If the effect may then happen again when
        a worker dies in its step, pass `at_least_once=True`, and the report lists only repetitions
        outside a step.
        """
        self.before_recording()
        step = self.current_step()
        key = idempotency_key
        if step is None:
            self._outside_steps.append(what)
        elif at_least_once:
            key = f"{step} {what!r}"
        is_new = key is None or key not in self._keys
        if key is not None:
            self._keys.add(key)
        if is_new:
            self._seen.append(what)
        self.on_recorded()
        return is_new

    @property
    def seen(self) -> list[Any]:
        """The effects so far, in order, without those that repeated a key."""
        return list(self._seen)

    @property
    def outside_steps(self) -> list[Any]:
        """The effects that jobs recorded outside a step, in order, even if they repeated a key."""
        return list(self._outside_steps)

    def clear(self) -> None:
        """Forget all effects and their keys."""
        self._seen.clear()
        self._outside_steps.clear()
        self._keys.clear()
