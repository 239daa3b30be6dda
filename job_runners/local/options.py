"""The options of `job-runners run`, and the addresses at which containers reach this machine."""

import fcntl
import json
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any

_BRIDGES = ("docker0", "podman0", "cni-podman0")
_GET_ADDRESS = 0x8915  # Linux: SIOCGIFADDR


@dataclass(frozen=True)
class Options:
    """The options. job_runners/cli/commands/run.py has parameters of the same names."""

    keep: bool
    quiet: bool
    listen: str | None
    workers: int
    parameters: dict[str, str]
    loopback_webhooks: bool
    processes: str  # "auto", "fork" or "spawn"
    import_seconds: float

    @staticmethod
    def read(text: str) -> "Options":
        """Return the options that the command has passed as JSON. Raises LocalProblem."""
        options: dict[str, Any] = json.loads(text)
        parameters = {}
        for parameter in options.pop("parameters"):
            name, equals, value = parameter.partition("=")
            if not equals:
                raise LocalProblem(f"--parameter {name} has no value. Pass NAME=VALUE.")
            parameters[name] = value
        return Options(parameters=parameters, **options)


class LocalProblem(Exception):
    """The local AWS can't do this. The message says why, and what to do."""


def bridge_addresses() -> list[str]:
    """Return this machine's addresses on the networks of Docker and Podman.

    Only Linux has such networks. On other systems, containers run in a virtual machine that can
    reach this machine's loopback address.
    """
    if not sys.platform.startswith("linux"):
        return []
    interfaces = [name for _, name in socket.if_nameindex()]
    addresses = [_address(name) for name in _BRIDGES if name in interfaces]
    return [address for address in addresses if address]


def _address(interface: str) -> str | None:
    request = struct.pack("256s", interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            response = fcntl.ioctl(any_socket, _GET_ADDRESS, request)
        except OSError:  # the interface has no address
            return None
    return socket.inet_ntoa(response[20:24])  # the address in a C struct ifreq
