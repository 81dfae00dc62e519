"""Which addresses a request may go to: those of the public internet, unless others are opened.

A source follows links that a server names, and a server may name anything: the router, a database
without password, a cloud's metadata service. A name is resolved once, every address it has is
judged here, and the connection is made to an address that was judged, so that a name which
resolves to another address a moment later gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .errors import ConnectFailed, Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's registries of special-purpose addresses (RFC 6890), what they list as not reachable from
# everywhere, and what is reachable but nobody serves from.
_NOT_PUBLIC: tuple[tuple[str, str], ...] = (
    ("169.254.169.254/32", "a cloud's metadata service"),
    ("100.100.100.200/32", "a cloud's metadata service"),
    ("168.63.129.16/32", "a cloud's metadata service"),
    ("192.0.0.192/32", "a cloud's metadata service"),
    ("fd00:ec2::254/128", "a cloud's metadata service"),
    ("fd20:ce::254/128", "a cloud's metadata service"),
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "a private network"),
    ("100.64.0.0/10", "a carrier's private network (CGNAT)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "a private network"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "a private network"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "this network"),
    ("::1/128", "loopback"),
    ("::/96", "an address of version 4 in a form long out of use"),
    ("::ffff:0:0:0/96", "translated addresses of version 4"),
    ("64:ff9b:1::/48", "a network's own translation (NAT64)"),
    ("100::/64", "discard only"),
    ("2001::/32", "Teredo"),
    ("2001:2::/48", "benchmarking"),
    ("2001:10::/28", "ORCHID"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "a private network"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_NETWORKS = [(ipaddress.ip_network(text), kind) for text, kind in _NOT_PUBLIC]
# They carry an address of version 4, which is the one that is reached.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = "a cloud's metadata service"


@lru_cache(maxsize=4_096)
def kind_of(address: Address) -> str | None:
    """What kind of address this is, where it is not one of the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "link-local"
        if address in _MAPPED or address in _NAT64:
            return kind_of(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return next((kind for network, kind in _NETWORKS if address in network), None)


@dataclass(frozen=True, slots=True)
class Opening:
    """One entry of `allow_private`: a network or an address, or the name of a host."""

    network: Network | None = None
    host: str = ""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Opening":
        """`10.0.0.0/8`, `127.0.0.1:8000`, `[::1]:8000`, `intranet.example`. Raises `ValueError`."""
        host, port = _split_port(text.strip())
        try:
            return cls(ipaddress.ip_network(host, strict=False), "", port)
        except ValueError:
            pass
        if not host or any(each in host for each in "/@?#*[] "):
            raise ValueError(
                f"{text!r} opens nothing; write a network (10.0.0.0/8), an address (127.0.0.1), or "
                "the name of a host (intranet.example), each with a port if only that is meant "
                "(127.0.0.1:8000)."
            )
        return cls(None, host.lower().rstrip("."), port)

    def covers(self, host: str, port: int, address: Address) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is None:
            # A name may resolve to anything; it opens no metadata service.
            return self.host == host.lower().rstrip(".") and kind_of(address) != _METADATA
        return _plain(address) in self.network or address in self.network


class Guard:
    """Says to which addresses a connection may be made."""

    def __init__(self, openings: Iterable[Opening] = ()) -> None:
        self._openings = tuple(openings)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host that a connection may be made to, in the order to try them.

        Raises `ConnectFailed` for a name that nobody knows, and `Refused` where every address is
        refused.
        """
        found = [host] if _as_address(host) else await _resolve(host, port)
        allowed, refusals = [], []
        for text in found:
            reason = self._refusal(host, port, text)
            if reason is None:
                allowed.append(text)
            else:
                refusals.append(reason)
        if not allowed:
            raise Refused("; ".join(dict.fromkeys(refusals)))
        return allowed

    def check_literal(self, host: str, port: int) -> None:
        """Judge a host that a proxy will resolve, as far as can be told. Raises `Refused`."""
        text = "127.0.0.1" if host.lower().rstrip(".").endswith("localhost") else host
        # The proxy's resolver may read `2130706433` or `0x7f.1` as the system's here does.
        address = _as_address(text) or _as_old_spelling(text)
        if address and (reason := self._refusal(host, port, str(address))):
            raise Refused(reason)

    def _refusal(self, host: str, port: int, text: str) -> str | None:
        address = ipaddress.ip_address(text)
        kind = kind_of(address)
        if kind is None or any(each.covers(host, port, address) for each in self._openings):
            return None
        named = text if text == host else f"{host} is {text}, which"
        return (
            f"{named} is {kind}. Where that is meant, open it: "
            f'@extractor(…, allow_private=["{text}"]), or ALLOW_PRIVATE for every feed'
        )


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(f"{host} could not be resolved: {error}") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _as_old_spelling(host: str) -> Address | None:
    """An address in decimal, octal, hexadecimal or fewer parts, as resolvers still read it."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    if port and not (port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(f"{text!r} names no port: {port!r}.")
    return host, int(port) if port else None
