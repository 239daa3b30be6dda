"""What a cold start costs before its first request: `python -m benchmarks.cold_start`.

CPU of fresh processes, run in turn so that a busy machine slows all alike; of each the least is
taken. Compare the ratios: the times are this machine's.
"""

import argparse

from benchmarks.fresh_process import compare

_PROGRAMS = {
    "API: handlers.api, with both clients": (
        "import handlers.api; from aws.clients import client; client('dynamodb'); client('lambda')"
    ),
    "worker: handlers.worker, with a client of DynamoDB": (
        "import handlers.worker; from aws import clients; clients.client('dynamodb')"
    ),
    "timer: handlers.timer, with both clients": (
        "import handlers.timer; from aws.clients import client; "
        "client('dynamodb'); client('lambda')"
    ),
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    compare(_PROGRAMS, parser.parse_args().rounds)


if __name__ == "__main__":
    main()
