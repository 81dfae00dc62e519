"""How an exchange can fail on the wire; `ingest.client` turns each into a `FetchFailed`.

Each kind has the two tokens that `docs/archive-format.md` lists: why the fetch failed, and why the
body is not whole where a response had begun.
"""

from typing import ClassVar


class WireFailure(Exception):
    """The root of what ends an exchange early."""

    token: ClassVar[str] = "unexpected"
    truncated: ClassVar[str] = "unspecified"
    is_repeated: ClassVar[bool] = True
    """Whether asking again may help."""


class ConnectFailed(WireFailure):
    """No connection came about: the name is unknown, the port closed, TLS refused."""

    token, truncated = "connect", "disconnect"


class HungUp(WireFailure):
    """The peer closed or reset the connection before the response was whole."""

    token, truncated = "disconnect", "disconnect"


class TimedOut(WireFailure):
    """No byte came for too long, or the whole took too long."""

    token, truncated = "timeout", "time"


class NotHttp(WireFailure):
    """What came is not HTTP/1.1 as RFC 9112 has it, or goes beyond what is taken in."""

    token, truncated = "protocol", "unspecified"


class RequestInvalid(WireFailure):
    """A request that cannot be sent: another scheme, a line break in a header."""

    token, truncated = "protocol", "unspecified"
    is_repeated = False


class Refused(WireFailure):
    """The guard does not let a request go to this address."""

    token, truncated = "refused", "unspecified"
    is_repeated = False
