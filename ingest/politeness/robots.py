"""robots.txt (RFC 9309) for feeds that crawl: asked before a host's first page, kept for a day.

It is archived like any response, in a feed of its own, `source.robots`, which no transform reads.
Its `Crawl-delay` becomes a limit of the host.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import httpx
from protego import Protego

from ..client import USER_AGENT
from ..errors import FetchFailed, HostUnavailable, RobotsRefused
from ..response import Response
from ..session import Session
from ..wire.errors import WireFailure
from .limits import Limits
from .paces import Paces

if TYPE_CHECKING:
    from ..transport import ArchivingTransport

logger = logging.getLogger(__name__)

KEPT_SECONDS = 86_400.0
ASKED_AGAIN_SECONDS = 600.0
"""After a failure; until then nothing of the host is requested."""
_MOST_BYTES = 512 * 1024
_LONGEST_DELAY = 3_600.0
_ASK_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    rules: Protego | None
    """None where nothing may be requested for now."""
    why: str
    until: float


Admit = Callable[[str], Awaitable[None]]


class Robots:
    """Judges the requests of one run. `fetch` requests an address, redirects included."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Response]],
        *,
        paces: Paces,
        clock: Callable[[], float],
        agent: str,
    ) -> None:
        self._fetch = fetch
        self._paces = paces
        self._clock = clock
        self._agent = agent

    async def admit(self, url: str) -> None:
        """Return if `url` may be requested; else raise `RobotsRefused`."""
        address = httpx.URL(url)
        origin = f"{address.scheme}://{address.netloc.decode('ascii')}"
        known = await self._known(origin)
        if known.rules is None:
            raise RobotsRefused(
                f"{origin}/robots.txt could not be read ({known.why}), so nothing of {origin} is "
                "requested for now. Run the feed again in ten minutes."
            )
        if not known.rules.can_fetch(url, self._agent):
            raise RobotsRefused(
                f"{origin}/robots.txt does not allow {self._agent} to request {address.path}. "
                "Leave the address out, or declare robots=False where the host has agreed to it."
            )

    async def _known(self, origin: str) -> _Known:
        lock = self._paces.robots_locks[origin]
        async with lock:
            known = self._paces.robots.get(origin)
            if not isinstance(known, _Known) or known.until <= self._clock():
                known = self._paces.robots[origin] = await self._asked(origin)
            return known

    async def _asked(self, origin: str) -> _Known:
        now = self._clock()
        try:
            response = await self._fetch(f"{origin}/robots.txt")
        except HostUnavailable:
            raise
        except (FetchFailed, WireFailure) as error:
            return _Known(rules=None, why=str(error), until=now + ASKED_AGAIN_SECONDS)
        status = response.status_code
        if status >= 500 or status in _ASK_LATER:
            return _Known(rules=None, why=f"it answered {status}", until=now + ASKED_AGAIN_SECONDS)
        # 4xx: there are no rules.
        rules = Protego.parse(_text(response.content) if status < 300 else "")
        await self._tell_delay(origin, rules)
        return _Known(rules=rules, why="", until=now + KEPT_SECONDS)

    async def _tell_delay(self, origin: str, rules: Protego) -> None:
        told = rules.crawl_delay(self._agent)
        delay = min(float(told), _LONGEST_DELAY) if told and float(told) > 0 else None
        pace = self._paces.of(origin.partition("://")[2])
        if delay != pace.limits.crawl_delay:
            logger.info("crawl delay host=%s seconds=%s", pace.host, delay)
            await pace.keep(partial(_with_delay, delay=delay))


def _text(body: bytes) -> str:
    """The whole lines of the first half megabyte, without the byte order mark of an editor."""
    if len(body) > _MOST_BYTES:
        body = body[:_MOST_BYTES].rpartition(b"\n")[0]
    return body.decode("utf-8-sig", "replace")


def _with_delay(limits: Limits, *, delay: float | None) -> Limits:
    return replace(limits, crawl_delay=delay)


def robots_of(transport: "ArchivingTransport", paces: Paces) -> Robots:
    """What judges a run's requests, asking over `transport`."""
    session = Session(
        transport,
        defaults={
            "Accept": "text/plain, */*",
            "Accept-Encoding": "gzip, deflate",
            "Connection": "keep-alive",
            "User-Agent": USER_AGENT,
        },
        is_secret_header=lambda _: False,
    )

    async def fetch(url: str) -> Response:
        return await session.send(session.build_request("GET", url))

    return Robots(fetch, paces=paces, clock=time.time, agent=USER_AGENT.partition("/")[0])
