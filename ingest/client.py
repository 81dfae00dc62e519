"""The client an extractor is given: a few verbs over the archiving transport.

Whatever it does passes the transport, so nothing it receives escapes the archive.
"""

import asyncio
import json as json_module
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from .errors import AddressRefused, ExtractorFailed, FetchFailed
from .pace import RETRIED, Patience
from .redact import Redactor
from .response import Response
from .session import Session
from .wire.errors import Refused, WireFailure
from .wire.request import Params

if TYPE_CHECKING:
    from .transport import ArchivingTransport

logger = logging.getLogger(__name__)

USER_AGENT = "rootcellar/0.1"
# A 404 or 410 says that something is gone, which is worth knowing; 304 answers the extractor's
# own validators.
_ANSWERS = frozenset({304, 404, 410})
_DEFAULTS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Connection": "keep-alive",
    "User-Agent": USER_AGENT,
}


class Client:
    """Requests a feed's pages and archives every response.

    A request is repeated after connection errors, time-outs, 429 and 5xx. One that still fails, or
    is answered with any other error than 404 or 410, raises `FetchFailed`.
    """

    def __init__(
        self,
        transport: "ArchivingTransport",
        *,
        redactor: Redactor,
        patience: Patience,
        watermarks: Mapping[str, Any],
        advance: Callable[[str, Any], None],
    ) -> None:
        self._redactor = redactor
        self._patience = patience
        self._watermarks = dict(watermarks)
        self._advance = advance
        self._session = Session(
            transport, defaults=_DEFAULTS, is_secret_header=redactor.is_secret_header
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        at: TracebackType | None = None,
    ) -> None:
        await self._session.aclose()

    async def get(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Request `url` with GET."""
        return await self.request("GET", url, params=params, headers=headers)

    async def post(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
    ) -> Response:
        """Request `url` with POST; `json`, `data` (a form) or `content` is the body."""
        return await self.request(
            "POST", url, params=params, headers=headers, json=json, data=data, content=content
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
    ) -> Response:
        """Request `url`, again if need be, and return the final response."""
        query = params if params is None or isinstance(params, Mapping) else list(params)
        for attempt in range(1, self._patience.attempts + 1):
            is_last = attempt == self._patience.attempts
            try:
                request = self._session.build_request(
                    method,
                    url,
                    params=query,
                    headers=headers,
                    json=json,
                    data=data,
                    content=content,
                    attempt=attempt,
                )
            except httpx.InvalidURL as error:
                raise self._failure(method, url, error, attempt) from error
            try:
                response = await self._session.send(request)
            except WireFailure as error:
                if is_last or not error.is_repeated:
                    raise self._failure(method, request.url, error, attempt) from error
            else:
                if response.is_success or response.status_code in _ANSWERS:
                    return response
                if is_last or response.status_code not in RETRIED:
                    response.raise_for_status()
            await asyncio.sleep(self._patience.backoff(attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def map(self, urls: Iterable[str], *, concurrency: int = 4) -> AsyncIterator[Response]:
        """Request every address with GET, `concurrency` at a time; responses in their order.

        The first failure ends it: what is under way is cancelled, what arrived is archived.
        """
        waiting: list[asyncio.Task[Response]] = []
        try:
            for url in urls:
                waiting.append(asyncio.create_task(self.get(url)))
                if len(waiting) >= max(concurrency, 1):
                    yield await waiting.pop(0)
            while waiting:
                yield await waiting.pop(0)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def pages(
        self, url: str, *, next_url: Callable[[Response], str | None] | None = None
    ) -> AsyncIterator[Response]:
        """Request `url` and the pages after it; `next_url` finds the next address in a response.

        Without `next_url` the `Link` header with `rel="next"` does.
        """
        seen: set[str] = set()
        following: str | None = url
        while following:
            if following in seen:
                raise ExtractorFailed(
                    f"Page {self._redactor.url(following)} names itself or an earlier page as the "
                    "next one. Check what next_url= returns."
                )
            seen.add(following)
            response = await self.get(following)
            yield response
            link = next_url(response) if next_url else response.links.get("next", {}).get("url")
            following = str(response.url.join(link)) if link else None

    @property
    def watermark(self) -> Any:
        """How far the feed has been fetched: what an earlier `advance` said, or None."""
        return self._watermarks.get("")

    @property
    def watermarks(self) -> Mapping[str, Any]:
        """The watermark of each partition."""
        return dict(self._watermarks)

    def advance(self, value: Any, partition: str = "") -> None:
        """Remember how far the feed has been fetched; kept as soon as what was fetched is sealed.

        `value` is anything JSON holds.
        """
        try:
            json_module.dumps(value)
        except (TypeError, ValueError) as error:
            raise ExtractorFailed(
                f"A watermark must be something JSON holds; {self._redactor.scrub(repr(value))} "
                f"is not: {error}. "
                "Write a time as text: moment.isoformat()."
            ) from None
        if self._redactor.holds_secret([value, partition]):
            raise ExtractorFailed(
                "A watermark is kept in the database, and this one holds a secret: "
                f"{self._redactor.scrub(repr(value))}. Keep what says how far, such as a page or a "
                "time, without the token; where a name only sounds like a secret, declare it: "
                "@extractor(…, secrets=Secrets(keep=[…]))."
            )
        self._watermarks[partition] = value
        self._advance(partition, value)

    def _failure(self, method: str, url: str, error: Exception, attempt: int) -> FetchFailed:
        reason = self._redactor.scrub(str(error)) or type(error).__name__
        tries = "one attempt" if attempt == 1 else f"{attempt} attempts"
        message = f"{method} {self._redactor.url(url)} failed after {tries}: {reason}"
        if isinstance(error, Refused):
            return AddressRefused(message)
        return FetchFailed(message)
