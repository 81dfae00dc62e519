"""The paces of all hosts, as one event loop keeps them, and how they stay true to the database.

A host's pace is claimed when it is asked first. A keeper renews what is in use every two seconds,
every half where other processes ask the same host, and lets go of what nobody has used for a while.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import Error as AnyDatabaseError

from ..uncancelled import uncancelled
from .host import NEWS_SECONDS, Change, HostPace
from .limits import HOST_CONCURRENCY, Declared, Limits
from .store import Span, Standing, Store

logger = logging.getLogger(__name__)

T = TypeVar("T")
Caller = Callable[..., Awaitable[Any]]

_BEAT_SECONDS = 2.0
_IDLE_SECONDS = 5.0


class Paces:
    """The pace of every host; the desk at which they ask the database.

    `concurrency` is how many requests at a time a host takes of which nobody says otherwise.
    `store` and `call` (how a function that waits for the database is called) are for simulations.
    """

    def __init__(
        self,
        *,
        concurrency: int = HOST_CONCURRENCY,
        clock: Callable[[], float] = time.time,
        store: Store | None = None,
        call: Caller | None = None,
    ) -> None:
        self.holder = uuid4()
        self.store = store or Store(
            self.holder, concurrency=concurrency, clock=clock, living=living_holders
        )
        self._clock = clock
        self._call = call or _in_database_thread
        self._hosts: dict[str, HostPace] = {}
        self.robots: dict[str, object] = {}
        """What `robots` knows of each origin."""
        self.robots_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._leased: dict[str, None] = {}
        self._order = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    def of(self, host: str, *, feed: str = "", declared: Declared | None = None) -> HostPace:
        """The one pace of `host`, which `feed` is about to ask."""
        pace = self._hosts.get(host)
        if pace is None:
            pace = self._hosts[host] = HostPace(host, desk=self, clock=self._clock)
        if declared is not None:
            pace.declare(feed, declared)
        return pace

    async def claim(self, host: str, *, held: int, declared: Mapping[str, Declared]) -> Standing:
        """Take part in asking `host`, and go on doing so while it is used."""
        # In order: an answer that comes late must not speak of an earlier state.
        async with self._order:
            self._leased[host] = None
            if self._keeper is None or self._keeper.done():
                self._keeper = asyncio.create_task(self._keep())
            standing: Standing = await self._call(
                self.store.claim, host, held=held, declared=declared
            )
        return standing

    async def book(
        self, host: str, *, requests: int, slack: float, last_sent: float, previous: Span | None
    ) -> tuple[Limits, Span | None]:
        """A span of time to send in."""
        booked: tuple[Limits, Span | None] = await self._call(
            self.store.book,
            host,
            requests=requests,
            slack=slack,
            last_sent=last_sent,
            previous=previous,
        )
        return booked

    async def change(self, host: str, change: Change) -> Limits:
        """Apply what was learned to what the database says."""
        limits: Limits = await self._call(self.store.change, host, change)
        return limits

    async def _keep(self) -> None:
        while self._leased:
            is_any_shared = any(self._hosts[host].is_shared for host in self._leased)
            await asyncio.sleep(NEWS_SECONDS / 2 if is_any_shared else _BEAT_SECONDS)
            try:
                async with self._order:
                    await self._renew()
            except AnyDatabaseError as error:
                # Leases end by themselves; who needs one then asks, and is told of the error.
                logger.warning("leases on hosts not renewed: %s", error)

    async def _renew(self) -> None:
        now = self._clock()
        paces = [self._hosts[host] for host in self._leased]
        idle = {
            pace.host for pace in paces if pace.is_idle and now - pace.idle_since > _IDLE_SECONDS
        }
        for host in idle:
            # Forgotten: who asks it next begins with what the database says by then.
            self._hosts.pop(host).lose()
            del self._leased[host]
        kept = {pace.host: pace for pace in paces if pace.host not in idle}
        held = {host: pace.held for host, pace in kept.items()}
        standings = await self._call(self.store.renew, held, released=idle)
        for host, pace in kept.items():
            if host in standings:
                pace.learn(standings[host])
            else:
                pace.lose()


async def _in_database_thread(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    # To its end: an answer that nobody hears would be a lease that nobody knows of.
    return await uncancelled(sync_to_async(function)(*args, **kwargs))


_shared: "WeakKeyDictionary[asyncio.AbstractEventLoop, Paces]" = WeakKeyDictionary()


def shared_paces() -> Paces:
    """The paces that all extractors of the running event loop share."""
    loop = asyncio.get_running_loop()
    found = _shared.get(loop)
    if found is None:
        found = _shared[loop] = Paces()
    return found


def living_holders() -> set[UUID]:
    """Who holds leases in this process: the paces of loops that are not closed."""
    return {paces.holder for loop, paces in list(_shared.items()) if not loop.is_closed()}
