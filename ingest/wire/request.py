"""A request as it is sent: small, and made quickly where its address is an ordinary one.

`httpx` knows every way to write an address, a form or a JSON body. What is already written as it
would write it, which is nearly all that a crawl asks for, need not go through it.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

import httpx

from .errors import RequestInvalid
from .head import NAME, Headers

Params = Mapping[str, Any] | Iterable[tuple[str, Any]]

DEFAULT_PORTS = {"http": 80, "https": 443}

# What httpx gives back unchanged: nothing to encode, no dot segment, no upper case in the host.
_ORDINARY = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<target>/(?!\.)(?:[A-Za-z0-9_~!$&'()*+,;=:@-]|\.(?!\.)|/(?![./]))*"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)"
)
_LONGEST = 65_536
_INJECTED = re.compile(r"[\r\n\0]")


class Request:
    """One request: what is asked of whom, with which headers and body."""

    __slots__ = (
        "attempt",
        "content",
        "headers",
        "host",
        "method",
        "port",
        "scheme",
        "target",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: str,
        *,
        scheme: str,
        host: str,
        port: int | None,
        target: str,
        headers: list[tuple[str, str]],
        content: bytes = b"",
        attempt: int = 1,
    ) -> None:
        self.method = method
        self.url = url
        """Normalised, without user information."""
        self.scheme = scheme
        self.host = host
        """Lower case, in ASCII, an address of version 6 without its brackets."""
        self.port = port
        """None where it is the scheme's own."""
        self.target = target
        """Path and query, as they are sent."""
        self.headers = headers
        self.content = content
        self.attempt = attempt

    @property
    def netloc(self) -> str:
        """Host and port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two requests share that may share secrets and connections."""
        return self.scheme, self.host, self.port or DEFAULT_PORTS.get(self.scheme, 0)

    def header(self, name: str) -> str | None:
        """The first header of this name (in lower case)."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def with_headers(self, **more: str) -> "Request":
        """A copy with these headers added; `if_none_match` is If-None-Match."""
        added = [(name.replace("_", "-").title(), value) for name, value in more.items()]
        return self._copied(headers=[*self.headers, *added])

    def _copied(self, **values: Any) -> "Request":
        kept = {name: getattr(self, name) for name in self.__slots__} | values
        return Request(**kept)

    def written(self, *, absolute: bool = False, extra: Headers = ()) -> bytes:
        """The request's bytes; `absolute` where a proxy must know the whole address.

        Raises `RequestInvalid` for what would not arrive as it is meant.
        """
        target = f"{self.scheme}://{self.netloc}{self.target}" if absolute else self.target
        lines = _header_lines((*self.headers, *extra))
        if not NAME.fullmatch(self.method):
            raise RequestInvalid(f"Illegal method {self.method!r}")
        if _INJECTED.search(target) or not _is_latin(target):
            raise RequestInvalid(f"Illegal address {self.target!r}")
        return f"{self.method} {target} HTTP/1.1\r\n".encode("latin-1") + lines + self.content


def build(
    method: str,
    url: str,
    defaults: Iterable[tuple[str, str]],
    *,
    params: Params | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Mapping[str, Any] | None = None,
    content: bytes | str | None = None,
    attempt: int = 1,
) -> Request:
    """A request, with the `defaults` among its headers. Raises `httpx.InvalidURL`."""
    found = None
    if params is None and json is None and data is None and content is None:
        found = _ORDINARY.fullmatch(url) if len(url) < _LONGEST else None
    if found:
        scheme, host, port, target = found.groups()
        number = _port(scheme, host, port)
        if number >= 0:
            netloc = host if port is None else f"{host}:{port}"
            own = [("Host", netloc), *defaults]
            merged = _merged(own, headers) if headers else own
            return Request(
                method.upper(),
                url,
                scheme=scheme,
                host=host,
                port=number or None,
                target=target,
                headers=merged,
                attempt=attempt,
            )
    built = httpx.Request(
        method,
        url,
        params=params,  # type: ignore[arg-type]
        json=json,
        data=data,
        content=content,
    )
    address, user = without_user(with_real_port(built.url))
    if address.port == DEFAULT_PORTS.get(address.scheme):
        address = address.copy_with(port=None)
    own = [("Host", address.netloc.decode("ascii")), *defaults]
    if user:
        own.append(("Authorization", user))
    for name, value in built.headers.raw:
        if name.lower() != b"host":
            own.append((name.decode("latin-1"), value.decode("latin-1")))
    return Request(
        built.method,
        str(address),
        scheme=address.scheme,
        host=address.raw_host.decode("ascii"),
        port=address.port,
        target=address.raw_path.decode("ascii"),
        headers=_merged(own, headers) if headers else own,
        content=built.content,
        attempt=attempt,
    )


def as_httpx(request: Request, timeout: float, connect: float) -> httpx.Request:
    """The request as httpx has it."""
    timeouts = httpx.Timeout(timeout, connect=connect).as_dict()
    return httpx.Request(
        request.method,
        request.url,
        headers=[
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers
        ],
        content=request.content,
        extensions={"timeout": timeouts, "attempt": request.attempt},
    )


def without_user(address: httpx.URL) -> tuple[httpx.URL, str | None]:
    """An address without user information, and that as a Basic credential."""
    if not address.userinfo:
        return address, None
    pair = f"{address.username}:{address.password}".encode()
    credential = f"Basic {base64.b64encode(pair).decode()}"
    return address.copy_with(userinfo=b""), credential


def with_real_port(address: httpx.URL) -> httpx.URL:
    """The address. Raises `httpx.InvalidURL` for a port that none can be; httpx lets it pass."""
    if address.port is not None and not 0 <= address.port < 65_536:
        raise httpx.InvalidURL(f"port {address.port} is not between 0 and 65535")
    return address


def _merged(
    own: list[tuple[str, str]], given: Mapping[str, str] | httpx.Headers
) -> list[tuple[str, str]]:
    """The program's headers, each replaced by the extractor's of the same name."""
    found = list(own)
    for given_name, given_value in given.items():
        name, value = _as_text(given_name), _as_text(given_value)
        lowered = name.lower()
        places = [at for at, (key, _) in enumerate(found) if key.lower() == lowered]
        if places:
            found[places[0]] = (name, value)
            for at in reversed(places[1:]):
                del found[at]
        else:
            found.append((name, value))
    return found


def _as_text(value: object) -> str:
    """A header's name or value as text; bytes are taken as they are."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(f"A header is text or bytes, not {type(value).__name__}: {value!r}")


@lru_cache(maxsize=512)
def _header_lines(headers: Headers) -> bytes:
    """The lines of these headers and the empty one behind them; a run's requests share them."""
    for name, value in headers:
        if not NAME.fullmatch(name):
            raise RequestInvalid(f"Illegal header name {name!r}")
        if _INJECTED.search(value) or not _is_latin(value):
            raise RequestInvalid(f"Illegal header value {value!r}")
    return "".join([*(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]).encode("latin-1")


@lru_cache(maxsize=4_096)
def _port(scheme: str, host: str, port: str | None) -> int:
    """The port that is not the scheme's own; 0 where it is; -1 where httpx would write the address
    in another way or refuse it."""
    number = 0 if port is None else int(port)
    if number > 65_535 or number == DEFAULT_PORTS[scheme]:
        return -1
    if host.replace(".", "").isdecimal():
        try:
            return number if str(IPv4Address(host)) == host else -1
        except ValueError:
            return -1 if host.count(".") == 3 else number
    return number


def _is_latin(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
