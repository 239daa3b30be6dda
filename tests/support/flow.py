"""Count the files that a plain job crosses: `.venv/bin/python tests/support/flow.py [-v]`.

One warm POST /jobs and its worker run on moto in this process, and `sys.setprofile` records each
call of a function in this checkout. A change of file is a call whose function is in another file
than the function that was called before it. Python's frozen modules count too. With `-v`, the
files are listed in their order. The last line has the number of our modules that both calls import.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = f"{Path(__file__).resolve().parents[2]}/"
sys.path[:0] = [ROOT, f"{ROOT}tests/support"]
os.chdir(ROOT)
os.environ["JOBS_PROJECT"] = ""

from api_events import request  # noqa: E402
from job_runners.testing.aws import WORKER_ARN, process_on_simulated_aws  # noqa: E402
from job_runners.testing.lambda_context import Context  # noqa: E402

ENVIRONMENT = {
    "JOBS_PACKAGES": "sample_work",
    "JOB_RUNNER": "lambda-async",
    "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN,
    "DELAY_QUEUE_URL": "https://a.test/q",
}
LEFT_OUT = ("/testing/", "/tests/", "/.venv", "/fake_dynamodb/")


class Trace:
    """The files and functions that a call crosses."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.functions: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Record a call, as `sys.setprofile` asks."""
        if event != "call":
            return
        path = os.path.realpath(frame.f_code.co_filename)
        name = frame.f_code.co_qualname
        is_ours = path.startswith(ROOT) and not any(each in path for each in LEFT_OUT)
        if not is_ours or name.startswith("<"):
            return
        self.functions.add((path, name))
        place = path.removeprefix(ROOT)
        if not self.places or self.places[-1] != place:
            self.places.append(place)


def traced(call: Callable[[], Any]) -> tuple[Trace, Any]:
    """Call a function. Return what it has crossed, and its result."""
    trace = Trace()
    sys.setprofile(trace)
    try:
        result = call()
    finally:
        sys.setprofile(None)
    return trace, result


def show(label: str, *traces: Trace) -> None:
    """Print a line of figures."""
    places = [each for trace in traces for each in trace.places]
    functions = set().union(*(trace.functions for trace in traces))
    changes = sum(len(trace.places) - 1 for trace in traces)
    text = f"{label}: {len(set(places))} files, {len(functions)} functions, {changes} changes"
    sys.stdout.write(f"{text}\n")
    if "-v" in sys.argv:
        sys.stdout.write(f"   {' > '.join(places)}\n")


def main() -> None:
    """Dispatch and run a job twice, and print the figures of the second one."""
    with process_on_simulated_aws(ENVIRONMENT):
        from job_runners.handlers import api, worker
        from job_runners.runners import lambda_async

        sent: list[dict[str, Any]] = []

        class FakeLambda:
            def invoke(self, **arguments: Any) -> dict[str, Any]:
                sent.append(arguments)
                return {"Payload": io.BytesIO(b"")}

        setattr(lambda_async, "_client_for", lambda *_: FakeLambda())  # noqa: B010 - for mypy
        context: Any = Context

        def dispatch() -> Any:
            body = {"job_type": "sample_once", "payload": {}}
            return api.handler(request("POST", "/jobs", body=body), context())

        def run() -> Any:
            return worker.handler(json.loads(sent[-1]["Payload"]), context())

        for _ in range(2):
            posted, answer = traced(dispatch)
            assert answer["statusCode"] == 202, answer
            ran, _ = traced(run)
    show("POST /jobs", posted)
    show("worker", ran)
    show("both", posted, ran)
    ours = [
        name for name in sys.modules if re.match(r"job_runners\.(?!testing|fake_dynamodb)", name)
    ]
    sys.stdout.write(f"imported: {len(ours)} modules\n")


if __name__ == "__main__":
    main()
