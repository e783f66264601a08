"""What a URL must look like before anything is looked up."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from ssrfguard import BlockedURLError, Policy, SSRFGuardError

from jobs.outbound.addresses import AddressPolicy, current_policy

_ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_USUAL_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=256)
def _reader(port: int) -> Policy:
    """Reads scheme, host and port, and refuses what can be read two ways. Addresses are AddressPolicy's to judge.

    It must be told which ports it may find, and a set of all of them would take five megabytes of every process.
    """
    return Policy(allowed_ports=frozenset({port}), allowed_networks=_ANYWHERE)


def _port_of(url: str) -> int:
    """The port as we read it: should the reader find another one, it refuses the URL."""
    try:
        parts = urlsplit(url)
        return parts.port or _USUAL_PORTS.get(parts.scheme, 80)
    except ValueError:
        return 80


class UrlDenied(ValueError):
    """A URL that is not fetched. The message says what to change."""


class Target(NamedTuple):
    """Where a URL leads: nothing that could be handed to a client that would parse it again."""

    scheme: str
    host: str
    port: int


def check_url(url: str, *, policy: AddressPolicy | None = None) -> Target:
    """Read a URL at the door, and refuse what can be refused without a lookup.

    Raises:
        UrlDenied: if it is malformed, ambiguous, not http(s), carries credentials, or names a denied address.

    """
    policy = policy or current_policy()
    try:
        read = _reader(_port_of(url)).check_url(url)
    except BlockedURLError as refused:
        raise UrlDenied(f"This URL cannot be used: {refused.reason}.") from refused
    except SSRFGuardError as refused:
        raise UrlDenied("This URL cannot be used. Give a plain http(s) URL with a public host name.") from refused
    target = Target(read.scheme, read.host, read.port)
    if read.is_literal_address:
        if not policy.permits(ip_address(target.host.strip("[]")), target.port):
            raise UrlDenied("This URL names an address or a port that may not be reached from here.")
    elif policy.ports is not None and target.port not in policy.ports and not policy.allowed:
        # With allowed networks the name may lead into one, where any port goes; only the lookup can tell.
        raise UrlDenied(f"Port {target.port} may not be used.")
    return target
