"""Resolve a host to an address on the public internet, and refuse all other addresses.

Callers of the API choose the hosts of webhooks. They must not reach through a webhook what only
this Lambda function can reach: its own runtime on loopback, the cloud's metadata service, or a
private network.
"""

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

from job_runners.errors import DoNotRetry
from job_runners.shipped.webhooks.errors import WebhookFailed

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # the IPv6 addresses that the internet routes
# Python considers these networks global, but no webhook receiver is in them.
_SPECIAL_NETWORKS = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # assigned to protocols of the IETF
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # relays of 6to4, deprecated
        "192.175.48.0/24",  # AS112
        "168.63.129.16/32",  # the host of virtual machines in Azure
        "2001::/23",  # assigned to protocols of the IETF: Teredo, ORCHID, drones
        "2002::/16",  # 6to4, deprecated
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, deprecated
    )
]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # the last 32 bits are an IPv4 address


def resolve_public_address(host: str, port: int) -> str:
    """Return the IP address to connect to.

    Raises WebhookFailed if the host currently has no address. Raises DoNotRetry if any of its
    addresses isn't public, because such a host can't be trusted.
    """
    try:
        results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise WebhookFailed(host, f"has no address: {error.strerror}") from error
    except UnicodeError as error:  # raised by the resolver for a label that is empty or too long
        raise DoNotRetry(f"{host!r} is not a host name") from error
    addresses = [str(socket_address[0]) for *_, socket_address in results]
    for address in addresses:
        if not is_public(address):
            raise DoNotRetry(f"the webhook at {host} is not on the public internet: {address}")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether this is a unicast address on the public internet."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, IPv6Address):
        embedded_ipv4 = _embedded_ipv4(ip)
        if embedded_ipv4 is None:
            return ip in _GLOBAL_UNICAST and ip.is_global and not _is_special(ip)
        ip = embedded_ipv4
    return ip.is_global and not ip.is_multicast and not _is_special(ip)


def _is_special(ip: IPv4Address | IPv6Address) -> bool:
    return any(ip in network for network in _SPECIAL_NETWORKS)


def _embedded_ipv4(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address contains, or None if it contains none.

    Packets that are sent to such an IPv6 address go to the IPv4 address.
    """
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)  # the last 32 bits
    return ip.ipv4_mapped
