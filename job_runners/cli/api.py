"""A client of the stack's API that raises Problem instead of the client's own errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from job_runners.cli.problem import Exit, Problem
from job_runners.cli.refusals import no_answer_problem, refusal_problem
from job_runners.client.client import Client
from job_runners.client.errors import ApiError, JobRunnersError, NoAnswer, OutcomeUnknown


class Api(Client):
    """A client whose methods raise Problem."""

    def __init__(self, *, is_local: bool, **settings: Any) -> None:
        """Create a Client with these settings. `is_local` means the API of the local AWS."""
        super().__init__(**settings)
        self._is_local = is_local

    if not TYPE_CHECKING:  # so that type checkers see the types of Client's methods

        def __getattribute__(self, name: str) -> Any:
            """Wrap public methods, so that they raise Problem."""
            value = super().__getattribute__(name)
            if name.startswith("_") or not callable(value):
                return value
            return partial(_call, self, value)

    @contextmanager
    def _errors_as_problems(self) -> Iterator[None]:
        """Raise the client's errors as Problems."""
        try:
            yield
        except OutcomeUnknown as error:
            raise Problem(error.problem, hint=error.hint, code=Exit.NO_ANSWER) from error
        except NoAnswer as error:
            raise no_answer_problem(self.url, error, is_local=self._is_local) from error
        except ApiError as error:
            raise refusal_problem(error) from error
        except JobRunnersError as error:
            raise Problem(error.problem, hint=error.hint, code=Exit.NO_ACCESS) from error
        except ValueError as error:  # an invalid argument, such as an empty id
            raise Problem(str(error)) from error


def _call(api: Api, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with api._errors_as_problems():
        result = method(*args, **kwargs)
    # An iterator calls the API while it is read, after this function has returned.
    return _iterate(api, result) if isinstance(result, Iterator) else result


def _iterate(api: Api, values: Iterator[Any]) -> Iterator[Any]:
    with api._errors_as_problems():
        yield from values
