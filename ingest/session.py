"""From a request to its final response: cookies, and redirects, each hop of which is a fetch.

What a server may say is bounded: twenty hops, http and https, and nothing that was meant for one
origin goes to another: Authorization, cookies, and every header whose name speaks of a secret.
"""

from collections.abc import Awaitable, Callable, Mapping
from email.message import Message
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, cast
from urllib.request import Request as CookieRequest

import httpx

from .response import Response
from .wire.errors import RequestInvalid
from .wire.request import Params, Request, build, with_real_port, without_user

if TYPE_CHECKING:
    from .transport import ArchivingTransport

MOST_HOPS = 20
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "cookie2"})
_OF_THE_BODY = ("content-", "transfer-encoding")


class Session:
    """Sends requests through the archiving transport, with one jar of cookies."""

    def __init__(
        self,
        transport: "ArchivingTransport",
        *,
        defaults: Mapping[str, str],
        is_secret_header: Callable[[str], bool],
        admit: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._transport = transport
        self._defaults = tuple(defaults.items())
        self._is_secret_header = is_secret_header
        self._admit = admit
        self._jar = CookieJar()
        self._has_cookies = False

    async def aclose(self) -> None:
        await self._transport.aclose()

    def build_request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
        attempt: int = 1,
    ) -> Request:
        """A request with the session's headers. Raises `httpx.InvalidURL`."""
        return build(
            method,
            url,
            self._defaults,
            params=params,
            headers=headers,
            json=json,
            data=data,
            content=content,
            attempt=attempt,
        )

    async def send(self, request: Request) -> Response:
        """The final response to a request. Raises what the transport raises, and
        `RequestInvalid` for a redirect that leads nowhere."""
        history: list[Response] = []
        while True:
            if self._has_cookies:
                self._show_cookies(request)
            if self._admit is not None:
                await self._admit(request.url)
            response = await self._transport.fetch(request)
            if response.sets_cookies:
                self._learn_cookies(request, response)
            location = response.location
            if location is None:
                if history:
                    response.history = list(history)
                return response
            history.append(response)
            if len(history) > MOST_HOPS:
                raise RequestInvalid(f"redirected more than {MOST_HOPS} times, last to {location}")
            request = self._redirected(request, response.status_code, location)

    def _redirected(self, request: Request, status: int, location: str) -> Request:
        """The request that a redirect asks for (RFC 9110, 15.4)."""
        try:
            base = httpx.URL(request.url)
            address = with_real_port(base.join(location))
            # Nobody but the extractor says who it is.
            address, _ = without_user(address)
            if base.fragment and not address.fragment:
                address = address.copy_with(fragment=base.fragment)
        except (httpx.InvalidURL, ValueError) as error:
            raise RequestInvalid(f"Invalid URL in location header: {error}.") from None
        method = request.method
        if (status in (302, 303) and method != "HEAD") or (status == 301 and method == "POST"):
            method = "GET"
        content = request.content if method == request.method else b""
        asked = Request(
            method,
            str(address),
            scheme=address.scheme,
            host=address.raw_host.decode("ascii"),
            port=address.port,
            target=address.raw_path.decode("ascii"),
            headers=[],
            content=content,
            attempt=request.attempt,
        )
        asked.headers = self._carried(request, asked, has_body=method == request.method)
        return asked

    def _carried(
        self, request: Request, asked: Request, *, has_body: bool
    ) -> list[tuple[str, str]]:
        """The headers that a redirect inherits."""
        is_same = _is_same_origin(request, asked)
        carried = [("Host", asked.netloc)]
        for name, value in request.headers:
            lowered = name.lower()
            if lowered == "host" or (self._has_cookies and lowered == "cookie"):
                continue
            if not has_body and lowered.startswith(_OF_THE_BODY):
                continue
            if not is_same and (lowered in _CREDENTIALS or self._is_secret_header(lowered)):
                continue
            carried.append((name, value))
        return carried

    def _show_cookies(self, request: Request) -> None:
        """Add the cookies that belong to a request, unless the extractor gave its own."""
        shown = CookieRequest(request.url, headers=dict(request.headers))
        self._jar.add_cookie_header(shown)
        cookies = shown.unredirected_hdrs.get("Cookie")
        if cookies:
            request.headers.append(("Cookie", str(cookies)))

    def _learn_cookies(self, request: Request, response: Response) -> None:
        answer = _Answer(response.pairs)
        self._jar.extract_cookies(cast(Any, answer), CookieRequest(request.url))
        self._has_cookies = len(self._jar) > 0


class _Answer:
    """A response as the standard library's cookie jar wants one."""

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self._headers = Message()
        for name, value in pairs:
            if name.lower() == "set-cookie":
                self._headers["Set-Cookie"] = value

    def info(self) -> Message:
        return self._headers


def _is_same_origin(one: Request, other: Request) -> bool:
    """Whether two requests go to one origin; from http to https of one host is no step away."""
    if one.origin == other.origin:
        return True
    is_upgrade = (one.scheme, other.scheme) == ("http", "https")
    are_plain = one.port is None and other.port is None
    return is_upgrade and are_plain and one.host == other.host
