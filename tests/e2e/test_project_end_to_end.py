"""From an installed wheel and an empty folder to a changed job on the local AWS."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from newcomers import Newcomer

pytestmark = [pytest.mark.e2e, pytest.mark.more]


@contextmanager
def running(newcomer: Newcomer, log: Path) -> Iterator[None]:
    """Run the project in a terminal of its own, and press Ctrl-C at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [newcomer.python.with_name("job-runners"), "run"],
            cwd=newcomer.folder,
            env=newcomer.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(lambda: "Ctrl-C stops it" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _wait(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_changed_job_of_a_new_project_runs_on_the_local_aws(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    newcomer.jobs("init", "acme-lists")
    project = tmp_path / "acme-lists"
    inside = newcomer.inside("acme-lists")
    log = tmp_path / "run.log"
    dispatch = ("dispatch", "first_job", 'items:=["ada"]', "--watch")
    with running(inside, log):
        assert "succeeded" in inside.jobs(*dispatch)
        _the_product_calls_it_by_the_name_of_the_stack(inside)
        _wait(lambda: "  succeeded " in log.read_text(), 10)
        assert "first_job" in log.read_text()
        assert "\n  | At ada\n" in log.read_text()
        job = project / "acme_lists" / "first_job.py"
        job.write_text(job.read_text().replace('message=f"{done} done"', 'message="changed"'))
        _wait(lambda: "Reloaded: acme_lists" in log.read_text(), 30)
        assert "changed" in inside.jobs(*dispatch)
        job.write_text(job.read_text().replace("done = job.cursor or 0", "raise ValueError"))
        _wait(lambda: log.read_text().count("Reloaded: acme_lists") == 2, 30)
        inside.jobs(*dispatch[:-1])
        _wait(lambda: "failed, retries " in log.read_text(), 30)
        assert '  |   File "acme_lists/first_job.py", line ' in log.read_text()
    assert not (project / ".local").exists()


def _the_product_calls_it_by_the_name_of_the_stack(inside: Newcomer) -> None:
    """Check it in a terminal that has the credentials, where a deploy is refused."""
    script = """
. .local/env.sh
$1 -c 'from job_runners import Client; print(len(list(Client(stack="acme-lists").list())))'
$1 -m job_runners.cli deploy
"""
    done = subprocess.run(
        ["sh", "-c", script, "sh", inside.python],
        cwd=inside.folder,
        env=inside.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n", done.stderr
    assert "AWS_ENDPOINT_URL is the local AWS of" in done.stderr
