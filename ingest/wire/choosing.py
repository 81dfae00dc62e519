"""Which client makes a feed's exchanges: our own, or httpx where it alone can."""

from django.conf import settings

from ..errors import ExtractorInvalid
from .client import OwnWire, Wire
from .guard import Guard, Opening
from .network import Network
from .through_httpx import guarded


def wire_of(network: Network) -> Wire:
    """The wire of a feed that declares this. Raises `ExtractorInvalid` for what is not installed,
    and for an ALLOW_PRIVATE that opens nothing."""
    try:
        everywhere = [Opening.parse(each) for each in settings.ALLOW_PRIVATE]
    except ValueError as error:
        raise ExtractorInvalid(f"ALLOW_PRIVATE: {error}") from None
    guard = Guard([*everywhere, *network.allow_private])
    if not (network.http2 or network.uses_socks):
        return OwnWire(network, guard)
    try:
        return guarded(network, guard)
    except ImportError as error:
        raise ExtractorInvalid(
            f"http2=True and SOCKS proxies need packages that are not installed: {error} "
            "`pip install 'httpx[http2,socks]'` brings them."
        ) from None
