"""A crawl: addresses are leased, asked for, and their links added, until none is left.

What a process that dies had asked for and not made durable is asked for again: at most `at_risk`
pages. All the rest is neither lost nor repeated.
"""

import asyncio
import functools
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
from asgiref.sync import sync_to_async

from raw_store.payload import request_key

from ..errors import ExtractorFailed, FetchFailed, HostUnavailable, StatusUnexpected
from ..models import Crawl
from ..pace import RETRIED
from ..uncancelled import uncancelled
from . import sitemaps, store
from .plan import Acknowledging, Plan, Visited
from .scope import absolute

if TYPE_CHECKING:
    from ..client import Client
    from ..redact import Redactor
    from ..response import Response

logger = logging.getLogger(__name__)

_REMEMBERED = 100_000
"""Addresses that are known to be in the frontier already, so that it need not be asked."""
_ADDED_TOGETHER = 1_000
_POLL = 0.3
_A_PRIORITY = 1_000
"""Ranks between two priorities; within one, what is fewer links away comes first."""
_SITEMAP_RANK = -1_000_000
_LARGE = 128 * 1024
"""Bytes of a page that is searched for links in a thread."""


class Crawling:
    """One run's part in a crawl; other processes may take other parts of it."""

    def __init__(
        self, client: "Client", redactor: "Redactor", run: Acknowledging, plan: Plan
    ) -> None:
        self._client, self._redactor, self._run, self._plan = client, redactor, run, plan
        self._crawl = Crawl()
        self._leased: deque[store.Leased] = deque()
        self._under_way: dict[int, None] = {}
        """Asked for, or with the extractor."""
        self._finished: dict[int, str] = {}
        """What is to be recorded at the next seal, with what was wrong, if anything."""
        self._to_add: list[store.Found] = []
        self._being_added: list[store.Found] = []
        self._known: OrderedDict[str, None] = OrderedDict()
        self._pages: asyncio.Queue[tuple[store.Leased, Visited] | None] = asyncio.Queue(
            plan.concurrency
        )
        self._at_risk = asyncio.Semaphore(plan.at_risk)
        self._seal_at = max(1, (plan.at_risk - plan.concurrency) // 2)
        self._leasing = asyncio.Lock()
        self._something_happened = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._is_over = False
        self.secret_count = 0
        """Links that were not followed, for they hold secrets."""

    async def pages(self) -> AsyncIterator[Visited]:
        """The pages, in the order in which they came. Raises what ends the crawl's run."""
        await self._open()
        self._run.at_each_seal(self._fixed)
        working = [asyncio.create_task(self._work()) for _ in range(self._plan.concurrency)]
        ending = asyncio.create_task(self._tell_the_end(working))
        self._tasks = [*working, ending, asyncio.create_task(self._keep_leases())]
        try:
            while (given := await self._pages.get()) is not None:
                leased, visited = given
                yield visited
                await self._follow(visited)
                self._finish(leased)
            if self._failure is not None:
                raise self._failure
        finally:
            await uncancelled(self.aclose())

    async def aclose(self) -> None:
        """Stop, and let go of what was leased and not given."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        unused, self._leased = [each.id for each in self._leased], deque()
        asked, self._under_way = list(self._under_way), {}
        if unused or asked:
            await sync_to_async(store.release)(unused)
            await sync_to_async(store.release)(asked, is_unused=False)
        if self.secret_count:
            logger.warning(
                "links with secrets not followed feed=%s count=%d",
                self._run.feed,
                self.secret_count,
            )
            self.secret_count = 0

    async def _open(self) -> None:
        self._crawl, is_new = await sync_to_async(store.open_crawl)(self._run.feed)
        logger.info(
            "crawl %s feed=%s crawl=%s",
            "begins" if is_new else "goes on",
            self._run.feed,
            self._crawl.pk,
        )
        # Also where it goes on: who began it may have died before anything was added.
        for url in self._plan.start:
            if self._redactor.holds_secret(url):
                raise ExtractorFailed(
                    f"The start {self._redactor.url(url)} of a crawl holds a secret, and the "
                    "frontier is kept in the database. Show credentials with auth=."
                )
            self._add(url, depth=0)
        for url in [*self._plan.sitemaps, *await self._named_in_robots()]:
            self._add(url, depth=0, is_sitemap=True)
        await self._flush()

    async def _named_in_robots(self) -> list[str]:
        found: list[str] = []
        if self._plan.reads_robots:
            hosts = {str(httpx.URL(url).join("/robots.txt")) for url in self._plan.start}
            for robots in sorted(hosts):
                try:
                    answer = await self._client.get(robots)
                except StatusUnexpected as error:
                    # As for its rules: a 4xx means that it says nothing (RFC 9309).
                    if error.status >= 500 or error.status in RETRIED:
                        raise
                    continue
                if answer.is_success:
                    named = sitemaps.named_in_robots(answer.text)
                    found += filter(None, (absolute(answer.url, each) for each in named))
        return found

    async def _work(self) -> None:
        while True:
            await self._at_risk.acquire()
            leased = await self._next()
            if leased is None:
                return
            try:
                response = await self._client.get(leased.url)
            except HostUnavailable:
                raise
            except FetchFailed as error:
                self._finish(leased, self._redactor.scrub(str(error)))
                continue
            if not response.is_success:
                # Gone, or not there: an answer, and no page.
                self._finish(leased)
            elif leased.is_sitemap:
                await self._read_sitemap(leased, response)
            else:
                await self._pages.put((leased, Visited(leased.url, leased.depth, response)))

    async def _next(self) -> store.Leased | None:
        """The next address; None when the crawl is over."""
        async with self._leasing:
            while not self._leased:
                if self._is_over:
                    return None
                self._something_happened.clear()
                await self._flush()
                self._leased.extend(
                    await sync_to_async(store.lease)(
                        self._crawl, self._run.run_id, 2 * self._plan.concurrency
                    )
                )
                if not self._leased:
                    await self._wait_or_end()
            leased = self._leased.popleft()
            self._under_way[leased.id] = None
            return leased

    async def _wait_or_end(self) -> None:
        """Nothing waits to be asked for: wait for links or for others, or find that it is over."""
        if not self._under_way:
            if self._finished:
                self._run.seal_soon()
            elif not await sync_to_async(store.release_expired)(self._crawl) and (
                await sync_to_async(store.is_exhausted)(self._crawl)
            ):
                await sync_to_async(store.finish)(self._crawl)
                self._is_over = True
                return
        # Other processes say nothing when they add links or finish.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._something_happened.wait(), _POLL)

    async def _read_sitemap(self, leased: store.Leased, response: "Response") -> None:
        try:
            for entry in sitemaps.entries(response.content, response.payload.url):
                url = absolute(response.url, entry.url)
                if url and (entry.is_sitemap or self._plan.scope.holds(url)):
                    self._add(url, depth=0, priority=entry.priority, is_sitemap=entry.is_sitemap)
                if len(self._to_add) >= _ADDED_TOGETHER:
                    await self._flush()
        except ExtractorFailed as error:
            self._finish(leased, str(error))
        else:
            self._finish(leased)

    async def _follow(self, visited: Visited) -> None:
        """The extractor is through with a page: add what it leads to."""
        response, deeper = visited.response, visited.depth + 1
        found = list(visited.followed)
        find, scope = self._plan.find_links, self._plan.scope
        # A redirect may have led out of what is meant.
        if find and scope.holds(str(response.url), visited.depth):
            is_large = int(response.headers["content-length"]) > _LARGE
            links = await asyncio.to_thread(list, find(response)) if is_large else find(response)
            found += [(link, 0) for link in links]
        for link, priority in found:
            url = absolute(response.url, link)
            if url and scope.holds(url, deeper):
                self._add(url, depth=deeper, priority=priority)
        if len(self._to_add) >= _ADDED_TOGETHER:
            await self._flush()

    def _finish(self, leased: store.Leased, error: str = "") -> None:
        """All that an address gave is on its way into the archive."""
        self._under_way.pop(leased.id, None)
        self._finished[leased.id] = error
        self._something_happened.set()
        if len(self._finished) >= self._seal_at:
            self._run.seal_soon()

    def _fixed(self) -> Callable[[], None] | None:
        """The work for the transaction that acknowledges what was archived up to now."""
        finished, self._finished = self._finished, {}
        # No page is done before its links are there.
        found, self._to_add = [*self._being_added, *self._to_add], []
        if not finished and not found:
            return None
        return functools.partial(self._record, finished, found)

    def _record(self, finished: dict[int, str], found: list[store.Found]) -> None:
        store.add(self._crawl, found)
        store.done([each for each, error in finished.items() if not error])
        for each, error in finished.items():
            if error:
                store.failed(each, error)
        self._loop.call_soon_threadsafe(self._acknowledged, len(finished))

    def _acknowledged(self, count: int) -> None:
        for _ in range(count):
            self._at_risk.release()
        self._something_happened.set()

    def _add(self, url: str, *, depth: int, priority: int = 0, is_sitemap: bool = False) -> None:
        key = request_key("GET", self._redactor.url(url, for_key=True))[: store.KEY_LENGTH]
        if key in self._known:
            return
        if self._redactor.holds_secret(url):
            self.secret_count += 1
            return
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        rank = _SITEMAP_RANK if is_sitemap else depth - priority * _A_PRIORITY
        self._to_add.append(
            store.Found(url=url, key=key, depth=depth, rank=rank, is_sitemap=is_sitemap)
        )

    async def _flush(self) -> None:
        """Add what was found, so that it can be leased."""
        if self._to_add and not self._being_added:
            self._being_added, self._to_add = self._to_add, []
            await sync_to_async(store.add)(self._crawl, self._being_added)
            self._being_added = []
            self._something_happened.set()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(store.LEASE.total_seconds() / 4)
            await sync_to_async(store.renew)(self._crawl, self._run.run_id)

    async def _tell_the_end(self, working: list["asyncio.Task[None]"]) -> None:
        ended, others = await asyncio.wait(working, return_when=asyncio.FIRST_EXCEPTION)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        failures = [task.exception() for task in ended if not task.cancelled()]
        self._failure = next((each for each in failures if each is not None), None)
        await self._pages.put(None)
