"""The client an extractor is given: a few verbs over the archiving transport.

Whatever it does passes the transport, so nothing it receives escapes the archive.
"""

import asyncio
import copy
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from .auth import Auth
from .auth.credentials import Keeper
from .auth.in_run import RunAuth, Turn, is_signing_in, with_shown
from .errors import AddressRefused, ExtractorFailed, FetchFailed
from .frontier.links import page_links
from .frontier.plan import Acknowledging, FindLinks, Visited
from .frontier.plan import Plan as CrawlPlan
from .frontier.scope import Scope, Within
from .pace import RETRIED, Patience
from .pagination import Asked, Way, link_header
from .pagination import next_url as found_by
from .pagination.walk import walk
from .redact import Redactor
from .request_keys import key_of
from .response import Response
from .session import Session
from .shards import Shard
from .windows import Window, check_mark, length, mark_of, moment, windows_after
from .wire.errors import Refused, WireFailure
from .wire.request import Params

if TYPE_CHECKING:
    from .frontier.crawling import Crawling
    from .transport import ArchivingTransport

logger = logging.getLogger(__name__)

Done = TypeVar("Done")

USER_AGENT = "rootcellar/0.1"
# A 404 or 410 says that something is gone, which is worth knowing; 304 answers the extractor's
# own validators.
_ANSWERS = frozenset({304, 404, 410})
_TOKEN_ANSWERS = frozenset({400, 401, 403})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
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
        auth: Iterable[Auth] = (),
        ledger: Acknowledging | None = None,
        shard: Shard | None = None,
        admit: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._redactor = redactor
        self._patience = patience
        self._watermarks = dict(watermarks)
        self._advance = advance
        self._auth = RunAuth(auth)
        self._window: Window | None = None
        self._ledger = ledger
        self._shard = shard
        self._crawls: list[Crawling] = []
        self.has_asked_for_windows = False
        self.response_count = 0
        """Responses that requests of this client ended in."""
        self._session = Session(
            transport,
            defaults=_DEFAULTS,
            is_secret_header=redactor.is_secret_header,
            admit=admit,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        at: TracebackType | None = None,
    ) -> None:
        for crawl in self._crawls:
            await crawl.aclose()
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
        values = {"params": query, "json": json, "data": data, "content": content}
        return await self._request(method, url, headers or {}, values, _ANSWERS)

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        values: dict[str, Any],
        answers: frozenset[int],
    ) -> Response:
        """The final response: a success or one of these statuses. Raises `FetchFailed`."""
        keeper = self._keeper(method, url)
        turn = Turn(keeper, self) if keeper else None
        attempt = 0
        while True:
            attempt += 1
            is_last = attempt >= self._patience.attempts
            shown = await turn.show() if turn else None
            try:
                request = self._session.build_request(
                    method, **with_shown(url, headers, values, shown), attempt=attempt
                )
            except httpx.InvalidURL as error:
                raise self._failure(method, url, error, attempt) from error
            try:
                response = await self._session.send(request)
            except WireFailure as error:
                if is_last or not error.is_repeated:
                    raise self._failure(method, request.url, error, attempt) from error
            else:
                if turn and await turn.is_worth_another_try(response):
                    continue
                if response.is_success or response.status_code in answers:
                    self.response_count += 1
                    return response
                if is_last or response.status_code not in RETRIED:
                    response.raise_for_status()
            await asyncio.sleep(self._patience.backoff(attempt))

    def _keeper(self, method: str, url: str) -> Keeper | None:
        try:
            return self._auth.keeper(url)
        except httpx.InvalidURL as error:
            raise self._failure(method, url, error, 1) from error

    async def _ask_for_token(
        self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        """The answer of a token endpoint, also one that refuses."""

        async def ask(_: object) -> Response:
            return await self._request("POST", url, headers, {"data": data}, _TOKEN_ANSWERS)

        return await self._unauthenticated(ask)

    async def _unauthenticated(self, work: "Callable[[Client], Awaitable[Done]]") -> "Done":
        """Do what requests need that show a credential: its own requests show none."""
        told = is_signing_in.set(True)
        try:
            return await work(self)
        finally:
            is_signing_in.reset(told)

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
        self,
        url: str,
        *,
        by: Way | None = None,
        next_url: Callable[[Response], str | None] | None = None,
        method: str = "GET",
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> AsyncIterator[Response]:
        """Request `url` and the pages after it, at `most` so many.

        `by` is one of `ingest.pagination`: how a page tells the next one. Without it the `Link`
        header with `rel="next"` does, or `next_url`, a function that finds the next address in a
        response. Raises `PagesInCircle` where a listing leads back to where it was.
        """
        way = by or (found_by(next_url) if next_url else link_header())

        async def fetch(asked: Asked) -> Response:
            return await self.request(
                asked.method, asked.url, headers=asked.headers, json=asked.json, data=asked.data
            )

        asked = Asked.of(
            url, params, method=method, headers=dict(headers or {}), json=json, data=data
        )
        async for page in walk(
            way, asked, fetch, most=most, is_secret_header=self._is_secret_header
        ):
            yield page

    def _is_secret_header(self, name: str) -> bool:
        lowered = name.lower()
        return lowered in _CREDENTIALS or self._redactor.is_secret_header(lowered)

    async def crawl(
        self,
        start: str | Iterable[str],
        *,
        within: Within = "host",
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        depth: int | None = None,
        links: FindLinks | None = page_links,
        sitemaps: str | Iterable[str] = (),
        concurrency: int = 4,
        at_risk: int | None = None,
    ) -> AsyncIterator[Visited]:
        """The pages at `start` and those that are found from there, each once.

        What is followed: addresses `within` the start's `host`, its `prefix` (folder) or
        `anywhere`, that match one of `allow` and none of `deny` (regular expressions), at most
        `depth` links away. `links` finds them in a response (those of HTML pages; None: what
        `page.follow(…)` is given, alone). `sitemaps` are addresses, or `"robots"`: those that
        robots.txt names. A run goes on where an earlier one stopped, until nothing is left; the
        next one begins anew. `at_risk` is how many pages a crash may make be fetched again, ten
        times `concurrency` unless given.
        """
        if self._ledger is None:
            raise ExtractorFailed("A crawl needs the database, and there is none here.")
        starts = (start,) if isinstance(start, str) else tuple(start)
        plan = CrawlPlan.of(
            starts,
            Scope.of(starts, within=within, allow=allow, deny=deny, depth=depth),
            links=links,
            sitemaps=(sitemaps,) if isinstance(sitemaps, str) else tuple(sitemaps),
            concurrency=concurrency,
            at_risk=at_risk,
        )
        # Its rows are models, which cannot be imported before Django is ready.
        from .frontier.crawling import Crawling

        crawling = Crawling(self, self._redactor, self._ledger, plan)
        self._crawls.append(crawling)
        async for page in crawling.pages():
            yield page

    async def windows(
        self,
        *,
        start: str | date | datetime,
        step: str | timedelta | None = None,
        lag: str | timedelta | None = None,
        overlap: str | timedelta | None = None,
        whole: bool = False,
        partition: str = "",
    ) -> AsyncIterator[Window]:
        """The stretches of time to ask for: from the watermark, or `start`, to now less `lag`.

        The watermark advances to the end of each window whose turn of the loop came to its end.
        The first window reaches `overlap` back, for what is published late; windows are cut at
        multiples of `step`, and with `whole` one that is not over yet is left for a later run.
        Durations are `90s`, `10m`, `6h`, `1d`. In a backfill there is one window, the partition
        that is fetched, and nothing advances.
        """
        self.has_asked_for_windows = True
        if self._window is not None:
            yield self._window
            return
        self._refuse_if_spread()
        found = windows_after(
            mark_of(self._watermarks.get(partition), partition),
            datetime.now(UTC),
            start=moment(start, "start"),
            step=length(step, "step") or None,
            lag=length(lag, "lag"),
            overlap=length(overlap, "overlap"),
            whole=whole,
        )
        for window in found:
            yield window
            self.advance(window.until.isoformat(), partition)

    def within(self, window: Window) -> "Client":
        """This client, with its session, for one partition of a backfill: it moves no watermark."""
        inside = copy.copy(self)
        inside._window, inside._shard = window, None
        inside._watermarks = dict(self._watermarks)
        inside._advance = lambda partition, value: None
        inside.has_asked_for_windows, inside.response_count = False, 0
        return inside

    def mine(self, urls: Iterable[str]) -> Iterator[str]:
        """Those of the addresses that this process is to request.

        Of a feed with `spread=True` each is one shard's, by its request key; of any other, or where
        there is one shard, all are.
        """
        for url in urls:
            if self._shard is None or self._shard.owns(self._request_key(url)):
                yield url

    def _request_key(self, url: str) -> str:
        try:
            request = self._session.build_request("GET", url)
        except httpx.InvalidURL as error:
            raise self._failure("GET", url, error, 1) from error
        return key_of(request, self._redactor, frozenset())

    def _refuse_if_spread(self) -> None:
        if self._shard is not None:
            raise ExtractorFailed(
                "A feed with spread=True has no watermark: each shard fetches a part, and none "
                "knows how far the others are. What has not changed costs a 304; or keep the "
                "watermark in a feed of its own, which lists what there is."
            )

    def scrub(self, text: str) -> str:
        """A message without the secrets that this run met."""
        return self._redactor.scrub(text)

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
        self._refuse_if_spread()
        check_mark(value, partition, self._redactor)
        self._watermarks[partition] = value
        self._advance(partition, value)

    def _failure(self, method: str, url: str, error: Exception, attempt: int) -> FetchFailed:
        reason = self._redactor.scrub(str(error)) or type(error).__name__
        tries = "one attempt" if attempt == 1 else f"{attempt} attempts"
        message = f"{method} {self._redactor.url(url)} failed after {tries}: {reason}"
        if isinstance(error, Refused):
            return AddressRefused(message)
        return FetchFailed(message)
