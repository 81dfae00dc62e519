"""How one feed's requests reach the network: which addresses, which proxy, which TLS, how long."""

import functools
import ssl
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from .guard import Opening

FROM_ENVIRONMENT = "environment"
_SCHEMES = ("http", "https", "socks5", "socks5h")

Certificate = str | tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """`http://user:password@proxy.example:3128`. Raises `ValueError`, which shows no secret."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("it is no address") from None
        if parts.scheme not in _SCHEMES or not host:
            raise ValueError(f"it must begin with one of {', '.join(_SCHEMES)}:// and name a host")
        port = port or {"http": 80, "https": 443}.get(parts.scheme, 1080)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, host, port, user, password)

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    def __str__(self) -> str:
        """Without the password."""
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What an `@extractor` declares of its connections."""

    allow_private: tuple[Opening, ...] = ()
    proxy: str | None = None
    """An address, `environment` (HTTP_PROXY, HTTPS_PROXY, NO_PROXY are asked), or none."""
    verify: bool | str = True
    """Whether a server's certificate is checked; a path: against the authorities in that file."""
    client_certificate: Certificate = None
    """A PEM file with certificate and key, or one of each."""
    http2: bool = False
    connect_timeout: float | None = None
    """Seconds until a connection stands; None: as `timeout`."""
    total_timeout: float | None = None
    """Seconds a whole fetch may take; None: twenty times `timeout`."""

    @classmethod
    def declared(
        cls,
        *,
        allow_private: Iterable[str],
        proxy: str | None,
        verify: bool | str,
        client_certificate: Certificate,
        http2: bool,
        connect_timeout: float | None,
        total_timeout: float | None,
    ) -> "Network":
        """Check what was declared. Raises `ValueError` saying what is wrong with what."""
        if isinstance(allow_private, str):
            raise ValueError(
                f"allow_private= is a list, such as [{allow_private!r}]; got a text alone."
            )
        if proxy not in (None, FROM_ENVIRONMENT):
            try:
                Proxy.parse(proxy or "")
            except ValueError as error:
                raise ValueError(
                    f"proxy= is no proxy: {error}; for example http://proxy.example:3128, or "
                    '"environment" to ask HTTP_PROXY and HTTPS_PROXY.'
                ) from None
        files = [verify] if isinstance(verify, str) else []
        files += [client_certificate] if isinstance(client_certificate, str) else []
        files += client_certificate if isinstance(client_certificate, tuple) else []
        for file in files:
            if not Path(file).is_file():
                raise ValueError(f"there is no file {file} (verify= or client_certificate=).")
        for name, value in (("connect", connect_timeout), ("total", total_timeout)):
            if value is not None and value <= 0:
                raise ValueError(f"{name}_timeout= (seconds) must be above zero; got {value}.")
        return cls(
            allow_private=tuple(Opening.parse(each) for each in allow_private),
            proxy=proxy,
            verify=verify,
            client_certificate=client_certificate,
            http2=http2,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
        )

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy that a request to this host goes through, if any. Raises `ValueError`."""
        if self.proxy is None:
            return None
        if self.proxy != FROM_ENVIRONMENT:
            return Proxy.parse(self.proxy)
        if urllib.request.proxy_bypass(f"{host}:{port}"):
            return None
        given = urllib.request.getproxies()
        url = given.get(scheme) or given.get("all")
        proxy = Proxy.parse(url) if url else None
        if proxy is not None and proxy.is_socks:
            # HTTP spoken to it would be answered by nothing that says so.
            raise ValueError(
                f'{proxy} is a SOCKS proxy, which a feed names itself: proxy="{proxy}"'
            )
        return proxy

    @property
    def uses_socks(self) -> bool:
        return bool(self.proxy) and str(self.proxy).startswith("socks")

    def tls(self) -> ssl.SSLContext:
        """How TLS is spoken."""
        return _tls(self.verify, self.client_certificate)


ORDINARY = Network()


@functools.cache
def _tls(verify: bool | str, certificate: Certificate) -> ssl.SSLContext:
    # Reading the certificates takes longer than many a run.
    if isinstance(verify, str):
        context = ssl.create_default_context(cafile=verify)
    else:
        context = httpx.create_ssl_context(verify=verify)
    if isinstance(certificate, str):
        context.load_cert_chain(certificate)
    elif certificate:
        context.load_cert_chain(*certificate)
    return context
