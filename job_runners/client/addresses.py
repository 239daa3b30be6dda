"""Check whether credentials may be sent to an address, and find regions and endpoints."""

import os
import re
from urllib.parse import urlsplit

from job_runners.client.errors import ConfigurationError, InsecureAddress

_API_GATEWAY_HOST = re.compile(r"[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")


def is_private(url: str) -> bool:
    """Return whether traffic to the URL is encrypted or stays on this machine."""
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


def check_url(url: str) -> str:
    """Return the URL of an API without a final slash.

    Raises ConfigurationError if it isn't a valid URL, and InsecureAddress if credentials must not
    be sent there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigurationError(f"{url!r} isn't a URL.", "Pass one that starts with https://.")
    if parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(
            f"{url!r} is more than the URL of an API.", "Pass only scheme, host and path."
        )
    if not is_private(url):
        raise InsecureAddress(
            f"Credentials are not sent to {url}, because the connection isn't encrypted.",
            "Use the API's https address.",
        )
    return url.rstrip("/")


def region_for(url: str | None = None) -> str:
    """Return the region to sign for. Raises ConfigurationError if there is none.

    The region comes from the URL. If the URL has none, it comes from the environment, and otherwise
    from botocore if that is installed.
    """
    region = (
        (region_of(url) if url else None)
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or _region_of_botocore()
    )
    if not region:
        raise ConfigurationError(
            "No AWS region is set.",
            "Pass region=, or set AWS_REGION. "
            "For a local AWS, load `.local/env.sh` in the shell first.",
        )
    return region


def _region_of_botocore() -> str | None:
    try:
        from botocore.session import Session
    except ImportError:
        return None
    region: str | None = Session().get_config_variable("region")
    return region


def endpoint(service: str, region: str) -> tuple[str, bool]:
    """Return an AWS service's URL, and whether it comes from the environment.

    An emulator of AWS sets its URL there.

    Raises InsecureAddress if credentials must not be sent to the URL in the environment.
    """
    override = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
    override = override or os.environ.get("AWS_ENDPOINT_URL")
    if override:
        return check_url(override), True
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{region}.{domain}", False


def region_of(url: str) -> str | None:
    """Return the region in a host name of API Gateway, or None for another host."""
    match = _API_GATEWAY_HOST.fullmatch(urlsplit(url).hostname or "")
    return match[1] if match else None
