"""Which addresses may be reached: public ones, plus and minus what the operator says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Reach

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# The table follows the IANA registries. Azure serves its machines' secrets from an address that is public on paper.
_AZURE_HOST = Block(ip_network("168.63.129.16/32"), "Azure platform", "Azure virtual network", Reach.DENIED, "")
_PUBLIC = AddressTable((*DEFAULT_DENIED.blocks, _AZURE_HOST))
_NAT64 = ip_network("64:ff9b::/96")
_V4_COMPATIBLE = ip_network("::/96")


class AddressDenied(PermissionError):
    """An address that this installation does not reach. The message names no address: it is shown to strangers."""


@dataclass(frozen=True)
class AddressPolicy:
    """``denied`` beats ``allowed``, ``allowed`` beats the table of non-public networks and the list of ``ports``.

    ``ports`` is None for any port.
    """

    allowed: tuple[IPNetwork, ...] = ()
    denied: tuple[IPNetwork, ...] = ()
    ports: frozenset[int] | None = None

    def permits(self, address: str | IPAddress, port: int) -> bool:
        ip = ip_address(address) if isinstance(address, str) else address
        reached = (ip, *_carried(ip))
        if any(_inside(one, self.denied) for one in reached):
            return False
        if _inside(ip, self.allowed) or (len(reached) > 1 and all(_inside(one, self.allowed) for one in reached[1:])):
            return True
        if self.ports is not None and port not in self.ports:
            return False
        return not _PUBLIC.classify(ip).blocked

    def check(self, address: str | IPAddress, port: int, *, host: str) -> None:
        """Raises AddressDenied unless ``host``, found at ``address``, may be reached at ``port``."""
        if not self.permits(address, port):
            raise AddressDenied(
                f"{host} leads to an address or a port that may not be reached from here. "
                "An operator can allow it with OUTBOUND_ALLOWED_NETWORKS."
            )


def current_policy() -> AddressPolicy:
    """The operator's policy, as the settings say now.

    Raises:
        ValueError: if a network or a port in the settings is not one.

    """
    # Imported here so that the rules above can be used, and tested, without a configured Django.
    from django.conf import settings  # noqa: PLC0415

    ports = settings.OUTBOUND_PORTS
    return _policy(
        tuple(settings.OUTBOUND_ALLOWED_NETWORKS),
        tuple(settings.OUTBOUND_DENIED_NETWORKS),
        None if ports is None else tuple(ports),
    )


@lru_cache(maxsize=8)
def _policy(allowed: tuple[str, ...], denied: tuple[str, ...], ports: tuple[int, ...] | None) -> AddressPolicy:
    return AddressPolicy(
        allowed=tuple(ip_network(one) for one in allowed),
        denied=tuple(ip_network(one) for one in denied),
        ports=None if ports is None else frozenset(int(port) for port in ports),
    )


def _inside(ip: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _carried(ip: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to an IPv6 address really go to."""
    if isinstance(ip, IPv4Address):
        return ()
    if ip.ipv4_mapped:
        return (ip.ipv4_mapped,)
    if ip.sixtofour:
        return (ip.sixtofour,)
    if ip.teredo:
        return ip.teredo
    if ip in _NAT64 or (ip in _V4_COMPATIBLE and int(ip) > 1):
        return (IPv4Address(int(ip) & 0xFFFFFFFF),)
    return ()
