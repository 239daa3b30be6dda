"""What job-runners doctor finds, as a program reads it."""

import json

from jobs_command import jobs


def findings(*, code: int = 0) -> list[dict[str, str]]:
    """Return what doctor finds wrong, has advice about or can't check; it exits with `code`."""
    done = jobs("doctor", "--json")
    assert done.exit_code == code, done.output
    return [each for each in json.loads(done.stdout)["findings"] if each["verdict"] != "ok"]
