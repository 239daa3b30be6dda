"""Find the addresses at which containers reach this machine."""

import fcntl
import socket
import struct
import sys

_BRIDGES = ("docker0", "podman0", "cni-podman0")
_GET_ADDRESS = 0x8915  # Linux: SIOCGIFADDR


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
