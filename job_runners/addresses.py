"""Addresses that credentials may be sent to, and what an address says by itself."""

import os
import re
from urllib.parse import urlsplit

from job_runners.errors import ConfigurationError, InsecureAddress

# Where ECS and EKS serve credentials to a container: the machine's own, though not loopback.
_LINK_LOCAL = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_REGION = re.compile(r"[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")


def is_private(url: str) -> bool:
    """Return whether nobody on the way can read what is sent there: it is encrypted, or does not
    leave this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return True
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_this_machines(url: str) -> bool:
    """Return whether it is an address at which this machine serves credentials to a container."""
    return urlsplit(url).hostname in _LINK_LOCAL


def checked(url: str) -> str:
    """Return an API's address without a slash at its end.

    Raises ConfigurationError for one that is none, InsecureAddress for one that credentials may not
    be sent to.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigurationError(f"{url!r} is not an address.", "It begins with https://.")
    if parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(
            f"{url!r} is more than an API's address.", "Give scheme, host and path alone."
        )
    if not is_private(url):
        raise InsecureAddress(
            f"Credentials are not sent to {url}: who is on the way could read them.",
            "Use the API's https address.",
        )
    return url.rstrip("/")


def region_for(url: str | None = None) -> str:
    """Return the region to sign for: the one that the address says, or the environment, or botocore
    if it is installed. Raises ConfigurationError if none is known."""
    named = (url and region_of(url)) or os.environ.get("AWS_REGION")
    named = named or os.environ.get("AWS_DEFAULT_REGION")
    if not named:
        try:
            from botocore.session import Session
        except ImportError:
            pass
        else:
            named = Session().get_config_variable("region")
    if not named:
        raise ConfigurationError(
            "Which AWS region? None is set.", "Pass region=, or set AWS_REGION."
        )
    return named


def endpoint(service: str, region: str) -> tuple[str, bool]:
    """Return where an AWS service is, and whether the environment says so, as for a local AWS.

    Raises InsecureAddress.
    """
    named = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get(
        "AWS_ENDPOINT_URL"
    )
    if named:
        return checked(named), True
    return f"https://{service}.{region}.amazonaws.com{'.cn' * region.startswith('cn-')}", False


def region_of(url: str) -> str | None:
    """Return the region that API Gateway's own name for an API says."""
    match = _REGION.fullmatch(urlsplit(url).hostname or "")
    return match[1] if match else None
