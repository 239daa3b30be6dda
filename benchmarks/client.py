"""Measure what the client costs another program, up to the client's first call.

Usage: python -m benchmarks.client. It measures the CPU of fresh processes. The client's call goes
to a server on the loopback. For comparison, another process imports boto3 and makes two clients,
but no call. The line with TLS adds the cost of loading this machine's certificates. boto3 would
load them at its first call.
"""

import argparse
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.fresh_process import Program, compare
from job_runners.places import CODE

_CALL = "from job_runners import Client; Client(url={url!r}).dispatch('sync', {{'list': 7}})"
_OURS = "job_runners: import, and one signed dispatch"
_TLS = "the same, and loading the TLS certificates"
_ANSWER = b'{"id": "0123456789abcdef0123456789abcdef", "job_type": "sync", "status": "queued"}'


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Accept any job."""
        self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256")
        self.send_response(202 if signed else 403)
        self.send_header("Content-Length", str(len(_ANSWER)))
        self.end_headers()
        self.wfile.write(_ANSWER)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--at-most", type=float, help="fail if the client takes a larger share of boto3's CPU"
    )
    given = parser.parse_args()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        call = _CALL.format(url=f"http://127.0.0.1:{server.server_port}")
        with_tls = f"{call}; import ssl; ssl.create_default_context()"
        codes = {_OURS: call, _TLS: with_tls}
        programs = {name: Program(code, (CODE,)) for name, code in codes.items()}
        share = compare(programs, given.rounds)[_OURS].cpu_share
        server.shutdown()
    if given.at_most is not None and share > given.at_most:
        print(
            f"The client takes {share:.2f} of boto3's CPU. The limit is {given.at_most}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
