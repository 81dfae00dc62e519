"""Connections: made to addresses that the guard let pass, through a proxy where one is declared,
and kept for the next request to the same origin."""

import asyncio
import base64
import ssl
from collections import OrderedDict
from collections.abc import Sequence

from .connection import Connection
from .errors import ConnectFailed, TimedOut, WireFailure
from .guard import Guard
from .head import Headers
from .network import Network, Proxy
from .request import Request

_MOST_IDLE = 256
_IDLE_SECONDS = 30.0
_LEAST_SECONDS = 2.0

Origin = tuple[str, str, int]


class Connecting:
    """Makes connections, and keeps those that may be used again."""

    def __init__(self, network: Network, guard: Guard) -> None:
        self._network = network
        self._guard = guard
        self._idle: OrderedDict[Connection, Origin] = OrderedDict()
        self._of: dict[Origin, list[Connection]] = {}

    def proxy_of(self, request: Request) -> Proxy | None:
        """The proxy that a request goes through, if any."""
        if self._network.proxy is None:
            return None
        try:
            return self._network.proxy_for(*request.origin)
        except ValueError as error:
            raise ConnectFailed(f"the proxy of the environment cannot be used: {error}") from None

    def kept(self, origin: Origin) -> Connection | None:
        """The connection to an origin that was used last, if there is one."""
        waiting = self._of.get(origin)
        now = asyncio.get_running_loop().time()
        while waiting:
            connection = waiting.pop()
            self._idle.pop(connection, None)
            if connection.is_open and now - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def keep(self, connection: Connection, origin: Origin) -> None:
        """Keep a connection for the next request."""
        self._idle[connection] = origin
        self._of.setdefault(origin, []).append(connection)
        if len(self._idle) > _MOST_IDLE:
            next(iter(self._idle)).close()
            self._forget(next(iter(self._idle)))

    def close(self) -> None:
        """Close what is kept."""
        for connection in list(self._idle):
            connection.close()
            self._forget(connection)

    async def connect(self, request: Request, proxy: Proxy | None, seconds: float) -> Connection:
        """A new connection over which the request can be sent. Raises `WireFailure`."""
        scheme, host, port = request.origin
        try:
            async with asyncio.timeout(seconds):
                if proxy is None:
                    addresses = await self._guard.addresses(host, port)
                    tls = self._network.tls() if scheme == "https" else None
                    return await self._open(addresses, port, tls, host, seconds)
                self._guard.check_literal(host, port)
                return await self._through(proxy, request, seconds)
        except TimeoutError:
            raise TimedOut(f"no connection to {host} after {seconds:g} s") from None

    async def _open(
        self,
        addresses: Sequence[str],
        port: int,
        tls: ssl.SSLContext | None,
        name: str,
        seconds: float,
    ) -> Connection:
        """A connection to the first of these addresses that answers."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        failures = []
        for number, address in enumerate(addresses):
            # One that does not answer must leave time for the others.
            left = until - loop.time()
            share = max(left / (len(addresses) - number), min(left, _LEAST_SECONDS))
            try:
                async with asyncio.timeout(share):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self._forget),
                        address,
                        port,
                        ssl=tls,
                        server_hostname=name if tls else None,
                    )
                    return connection
            except TimeoutError:
                failures.append(f"{address} did not answer for {share:.3g} s")
            except (OSError, ssl.SSLError) as error:
                failures.append(_said(error))
        raise ConnectFailed(f"All connection attempts failed: {'; '.join(failures)}")

    async def _through(self, proxy: Proxy, request: Request, seconds: float) -> Connection:
        """A connection through a proxy, which is where the operator says, not judged here."""
        tls = self._network.tls() if proxy.scheme == "https" else None
        try:
            connection = await self._open((proxy.host,), proxy.port, tls, proxy.host, seconds)
        except ConnectFailed as error:
            raise ConnectFailed(f"proxy {proxy}: {error}") from None
        if request.scheme == "https":
            try:
                await self._tunnel(connection, proxy, request, seconds)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _tunnel(
        self, connection: Connection, proxy: Proxy, request: Request, seconds: float
    ) -> None:
        _, host, port = request.origin
        named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {named} HTTP/1.1", f"Host: {named}"]
        lines += [f"{name}: {value}" for name, value in authorization(proxy)]
        asked = "\r\n".join([*lines, "", ""]).encode("latin-1")
        connection.ask(asked, "CONNECT", timeout=seconds, deadline=seconds)
        while not (connection.head or connection.failure):
            await connection.progress()
        head = connection.head
        if head is None:
            raise ConnectFailed(f"proxy {proxy}: {connection.failure}")
        if not 200 <= head.status < 300:
            said = f"{head.status} {head.reason}".strip()
            raise ConnectFailed(f"proxy {proxy} answered {said} to CONNECT")
        if not connection.release():
            raise ConnectFailed(f"proxy {proxy} sent more than an answer to CONNECT")
        context = self._network.tls()
        try:
            await connection.begin_tls(context, host)
        except (OSError, ssl.SSLError) as error:
            raise ConnectFailed(f"through proxy {proxy}: {_said(error)}") from error

    def _forget(self, connection: Connection) -> None:
        origin = self._idle.pop(connection, None)
        if origin is not None and connection in self._of.get(origin, ()):
            self._of[origin].remove(connection)


def authorization(proxy: Proxy | None) -> Headers:
    """What the proxy itself is shown; it is archived nowhere."""
    if proxy is None or not proxy.user:
        return ()
    pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
    return (("Proxy-Authorization", f"Basic {pair}"),)


def _said(error: Exception) -> str:
    if isinstance(error, WireFailure):
        return str(error)
    return str(error) or type(error).__name__
